"""operator: the process tree. Its parent process runs no event loop and no threads, so that it can fork at any time."""
