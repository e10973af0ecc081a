"""Objects as files on a disk or a mounted file system."""
