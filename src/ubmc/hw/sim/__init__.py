"""The simulated machine: its physics, the process that hosts it, and drivers for the ports."""
