"""Worker threads and protection from cancellation."""
