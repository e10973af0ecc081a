"""Contents of blobs: their segments, how long they are kept, and when they expire."""
