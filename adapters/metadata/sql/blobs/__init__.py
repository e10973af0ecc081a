"""The rows of blobs, of those in the trash, and of the prefixes that they have."""
