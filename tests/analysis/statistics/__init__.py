"""Statistics against their definitions."""
