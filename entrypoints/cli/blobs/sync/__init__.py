"""`drivebay sync`: make a folder and the blobs below a prefix the same."""
