"""Modules generated from `schema/` by tools/generate.py: messages (`*_pb`), Connect stubs and method tokens (`*_rpc`)."""
