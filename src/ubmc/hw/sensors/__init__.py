"""Sensors: the port and the drivers."""
