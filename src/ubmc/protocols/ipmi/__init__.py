"""IPMI 2.0 on the wire, without I/O: bytes in, bytes or facts out.

"Spec" in this folder is the IPMI Specification Second Generation v2.0, document revision 1.1 (October 2013); sections
and tables are named by their numbers in it.
"""
