"""Accounts, roles, passwords and sessions: who may use this BMC, and who does."""
