"""The ports implemented, each with one library."""
