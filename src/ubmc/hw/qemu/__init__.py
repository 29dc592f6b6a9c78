"""A QEMU virtual machine as the hardware."""
