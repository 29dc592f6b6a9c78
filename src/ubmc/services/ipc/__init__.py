"""ipc: the embedded nats-server. Who may say what on it is made from what the services declare."""
