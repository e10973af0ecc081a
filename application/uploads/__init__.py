"""The upload of a blob: its bytes, further attempts, and commits with an unknown outcome."""
