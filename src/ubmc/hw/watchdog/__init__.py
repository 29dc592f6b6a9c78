"""The watchdog that resets the BMC: the port and the Linux driver."""
