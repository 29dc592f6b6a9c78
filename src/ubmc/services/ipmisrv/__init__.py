"""IPMI 2.0 over UDP and from the guest: the same calls as every other door, in IPMI's bytes."""
