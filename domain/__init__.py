"""Blobs, preconditions and errors. Imports only the standard library."""
