"""Fans and pumps: the port and the drivers."""
