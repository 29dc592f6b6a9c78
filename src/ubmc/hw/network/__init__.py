"""The BMC's own network, as its operating system has it."""
