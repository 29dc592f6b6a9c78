"""`python -m ubmc` is the program `ubmc`."""

from __future__ import annotations

from ubmc.cli.main import main

if __name__ == "__main__":
    main()
