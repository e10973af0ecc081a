"""The S3 interface to blobs."""
