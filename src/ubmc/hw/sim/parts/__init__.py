"""The parts of the simulated machine, one module each; `ubmc.hw.sim.plant` puts them together."""
