"""Composition: which adapter serves which port, and their lifetimes."""
