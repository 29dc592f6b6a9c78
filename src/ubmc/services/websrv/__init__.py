"""websrv: the only door from the network. It forwards every public RPC of the schema and adds nothing to any of them."""
