"""Storages for the content of blobs."""
