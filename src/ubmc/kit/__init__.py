"""The frame every service stands in: bus, service, errors, principals, streams, tracing, metrics, database."""
