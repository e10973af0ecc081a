"""URLs of blobs and uploads, and URLs that carry a credential."""
