"""sensormon: reads sensors, says how far each reading can be believed, and how far it is from normal."""
