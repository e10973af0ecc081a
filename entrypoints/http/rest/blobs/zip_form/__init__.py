"""Many blobs as one zip file, made while it is sent."""
