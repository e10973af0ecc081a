"""The REST interface to blobs."""
