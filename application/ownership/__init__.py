"""Storages and the database that owns them."""
