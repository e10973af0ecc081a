"""Buckets: their settings, their rights, and the lists of their objects."""
