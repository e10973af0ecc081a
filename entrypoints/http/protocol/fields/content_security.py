"""Content-Security-Policy (CSP Level 3)."""

import base64
import hashlib


def hash_source(content: bytes) -> str:
    """Return the source expression that allows one style or script in a page (section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
