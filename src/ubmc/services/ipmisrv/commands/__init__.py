"""The commands of IPMI that are about the machine: each reads what is known here, or makes the calls of the schema."""
