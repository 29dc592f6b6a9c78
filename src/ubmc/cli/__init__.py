"""The program `ubmc`: starts a BMC, and asks one over the network."""
