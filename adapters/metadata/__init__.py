"""Where the rows that name the bytes are kept."""
