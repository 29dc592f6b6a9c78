"""Redfish (DSP0266) without I/O: from what the services say to resources, from bodies and queries to what is meant."""
