"""Power of a host or a chassis, as its wires see it."""
