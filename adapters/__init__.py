"""Implementations of the ports, each with one library."""
