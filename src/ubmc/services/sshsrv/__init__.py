"""The service sshsrv: consoles over SSH, on a port of its own."""
