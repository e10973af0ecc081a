"""The bytes of requests to the S3 interface: their encoding and their checksums."""
