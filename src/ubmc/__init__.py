"""u-bmc: a modern, service-oriented Baseboard Management Controller stack."""
