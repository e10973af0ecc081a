"""Keys, and the grants of requests that use them."""
