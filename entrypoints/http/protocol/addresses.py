"""The addresses of both sides of a request."""

from typing import Any


def origin(scope: Any) -> str:
    """Return scheme and host as the client knows them. It can only mislead itself, so a proxy's header is believed.

    Empty if the request names no host, as in HTTP/1.0.
    """
    headers = dict(scope["headers"])
    if b"host" not in headers:
        return ""
    forwarded = headers.get(b"x-forwarded-proto", b"").decode("latin-1").strip().lower()
    scheme = forwarded if forwarded in ("http", "https") else scope["scheme"]
    return f"{scheme}://{headers[b'host'].decode('latin-1')}"


def client_address(scope: Any) -> str:
    """Return the address of the client, or of the proxy in front; empty if it has none."""
    client = scope.get("client")
    return client[0] if client else ""
