"""What u-bmc costs, measured beside references in the same run: `make bench`."""
