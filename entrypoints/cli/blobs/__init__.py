"""The commands for users: they store and fetch blobs on a server, by its HTTP interface.

They import nothing of the server, so that they start quickly.
"""
