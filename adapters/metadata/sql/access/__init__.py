"""The rows of keys and of share links, and the quotas of keys."""
