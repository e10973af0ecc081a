"""Blobs: store, fetch, list, change, delete and restore them."""
