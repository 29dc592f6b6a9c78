"""FRU storage: the port and the drivers."""
