"""Composition: the one place that knows every class. Names become services, services become processes."""
