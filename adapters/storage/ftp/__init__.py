"""Objects on an FTP server: the store, its pool of connections, and what one connection does."""
