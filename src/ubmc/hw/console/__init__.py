"""Serial lines of hosts: the port, and the driver for a tty of the BMC."""
