"""Uploads that take several requests."""
