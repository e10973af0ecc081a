"""Trees of files, from which blobs are imported, and to which they are exported."""
