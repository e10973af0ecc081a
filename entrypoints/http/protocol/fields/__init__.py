"""Header fields, as values: what they mean, and how they are read."""
