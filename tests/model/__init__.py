"""The whole service against a dictionary: the same changes are made to both, and both must tell the same."""
