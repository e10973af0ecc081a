"""Signatures of requests to the S3 interface, and of browser forms."""
