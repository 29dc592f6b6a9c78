"""inventorymgr: what the machine is made of, from the board file, FRU storage, and what the machine itself tells."""
