"""Servers that fail: the right error in time, nothing left behind, and on with it when they are back."""
