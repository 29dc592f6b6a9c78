"""simulation: breaks the simulated machine on request, and mends it. It is started on simulated boards only."""
