"""The HTTP server: sockets, workers, their supervisor, and a graceful shutdown."""
