"""Verification of all blobs and objects: use cases and their findings."""
