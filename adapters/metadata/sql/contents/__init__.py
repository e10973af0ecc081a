"""The rows of contents: segments, uploads, objects, moves and garbage."""
