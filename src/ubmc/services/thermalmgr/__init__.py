"""thermalmgr: keeps the board cool. Whatever it does not know, it cools for."""
