"""From what a board file says to what services are told: plain data on both sides, no driver and no I/O.

Services do not know boards and boards do not know services, so this stands above both.
"""
