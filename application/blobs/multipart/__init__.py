"""Uploads of several parts."""
