"""Inventory: what a machine tells about the parts it is made of."""
