"""Use cases about one blob, or a list of them."""
