"""Hardware behind ports: a folder for each kind of hardware, its Protocol in `port.py`, its drivers beside it."""
