"""websrv: the only door from the network. It forwards every public RPC and adds nothing to any."""
