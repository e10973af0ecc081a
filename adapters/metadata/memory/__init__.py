"""Metadata in memory, for tests and demos. It is lost when the process ends."""
