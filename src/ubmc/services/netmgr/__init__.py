"""netmgr: the BMC's own network, host name, NTP and time."""
