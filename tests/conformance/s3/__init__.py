"""Clients of S3. Those in `full` take longer: only `make conformance` runs them."""
