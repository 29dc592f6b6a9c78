"""Hardware behind ports: each folder holds one kind of hardware, its Protocol in `port.py` and its drivers beside it."""
