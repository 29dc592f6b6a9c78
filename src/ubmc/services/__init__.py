"""What a BMC does: one folder a service. No service imports another; they speak through the schema, over the bus."""
