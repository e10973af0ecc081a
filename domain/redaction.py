"""Secrets out of texts for people."""

import re

# `/`, `?` and `#` end the part of a URL that holds user and password (RFC 3986, section 3.2), so no character is looked
# at twice.
USERINFO = re.compile(r"://[^/?#\s]*@")


def without_passwords(text: str) -> str:
    """Return `text` with `...` in place of the user and the password of each URL in it."""
    return USERINFO.sub("://...@", text) if "@" in text else text
