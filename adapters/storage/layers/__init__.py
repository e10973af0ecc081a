"""Layers around a storage. Each keeps the port's contract and adds one promise."""
