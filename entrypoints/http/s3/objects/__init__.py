"""Objects: read and written, and what is kept about them."""
