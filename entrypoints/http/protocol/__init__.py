"""HTTP for all faces: conditional requests, ranges, header fields, streaming, problems."""
