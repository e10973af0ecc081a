"""Files that become blobs, and blobs that become files."""
