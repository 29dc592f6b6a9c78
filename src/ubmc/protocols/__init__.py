"""Wire formats without I/O: bytes in, bytes or events out."""
