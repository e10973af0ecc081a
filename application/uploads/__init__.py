"""Uploads: their life, their bytes, repeated attempts, and commits of unknown outcome."""
