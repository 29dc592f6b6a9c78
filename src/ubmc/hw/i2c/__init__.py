"""I2C buses and their devices."""
