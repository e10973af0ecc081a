"""Metadata of blobs."""
