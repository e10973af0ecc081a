"""Removal of passwords from texts."""

AUTHORITY = "://"
# These end the part of a URL that holds user and password (RFC 3986, section 3.2).
ENDS = "/?#"


def without_passwords(text: str) -> str:
    """Return `text` with `...` in place of the user and the password of each URL in it."""
    if "@" not in text:
        return text
    first, *others = text.split(AUTHORITY)
    return AUTHORITY.join([first, *map(_without_userinfo, others)])


def _without_userinfo(text: str) -> str:
    """Remove user and password from `text`, which begins with the authority of a URL."""
    stop = next((at for at, character in enumerate(text) if character in ENDS or character.isspace()), len(text))
    _, at, host = text[:stop].rpartition("@")
    return f"...@{host}{text[stop:]}" if at else text
