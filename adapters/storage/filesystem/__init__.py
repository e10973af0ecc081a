"""Objects as files in a local or mounted file system."""
