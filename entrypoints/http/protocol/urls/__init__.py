"""URLs of blobs and uploads, and those that carry a credential."""
