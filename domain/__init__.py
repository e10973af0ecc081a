"""What a blob is, and what can go wrong with one. Imports nothing but the standard library."""
