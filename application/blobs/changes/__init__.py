"""Changes of blobs without their bytes."""
