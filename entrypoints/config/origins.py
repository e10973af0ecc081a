"""The value of CORS_ORIGINS: the origins whose pages may use the interface (WHATWG Fetch, CORS protocol)."""

from urllib.parse import urlsplit

ANY_ORIGIN = "*"
DEFAULT_PORTS = {"http": 80, "https": 443}
FORM = "Give origins as browsers write them, such as https://app.example.com, separated by commas, or only *."


def cors_origins(text: str) -> tuple[str, ...]:
    """Return the origins, in lower case. Raises ValueError."""
    origins = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    if ANY_ORIGIN in origins and len(origins) > 1:
        raise ValueError(f"* stands for all origins, so it does not go with others. {FORM}")
    if origins != (ANY_ORIGIN,):
        for origin in origins:
            _check(origin)
    return origins


def _check(origin: str) -> None:
    scheme, separator, place = origin.partition("://")
    if "@" in place:  # the value is not shown: it may have a password in it
        raise ValueError(f"an origin has no user and no password. {FORM}")
    if not separator or not scheme or set("/?#\\*, ") & set(place) or not (origin.isascii() and origin.isprintable()):
        raise ValueError(f"{origin!r} is not an origin. {FORM}")
    port = _port(origin)
    if port is not None and port == DEFAULT_PORTS.get(scheme):
        raise ValueError(f"{origin!r} names the default port, which browsers leave out. {FORM}")


def _port(origin: str) -> int | None:
    try:
        url = urlsplit(origin)
        if not url.hostname or url.port == 0 or url.netloc.endswith(":"):
            raise ValueError
        return url.port
    except ValueError:
        raise ValueError(f"{origin!r} is not an origin. {FORM}") from None
