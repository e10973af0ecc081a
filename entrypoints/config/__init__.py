"""Settings: names, values, sources."""
