"""telemetry: the metrics of all processes, gathered into one text."""
