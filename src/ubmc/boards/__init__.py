"""What a board is made of, and how its owner wants it to behave: the two files, read, checked and built."""
