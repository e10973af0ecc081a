"""Checks of the storages and the database, and of readiness."""
