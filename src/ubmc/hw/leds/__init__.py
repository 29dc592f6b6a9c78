"""Lights: the port, and drivers for the kernel's LED class and for GPIO lines."""
