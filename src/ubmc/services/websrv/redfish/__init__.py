"""The Redfish door: resources from an in-memory model, changes through the same RPCs as every other door."""
