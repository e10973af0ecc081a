"""Objects on an FTP server: the store, its connection pool, and the protocol."""
