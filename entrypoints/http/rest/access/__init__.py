"""Access for others, and for browsers: keys, sessions, signed URLs and share links."""
