"""Security headers for browsers, on every response."""

from collections.abc import Mapping

from entrypoints.http.middleware.base.exchange import Exchange, Header
from entrypoints.http.middleware.base.stack import Middleware

Headers = Mapping[bytes, bytes]

ALWAYS: Headers = {
    b"x-content-type-options": b"nosniff",
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"x-frame-options": b"DENY",
}
# The page sets styles from its script, and shows responses that are images.
PAGE = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SHARED = (b"public", b"s-maxage", b"private", b"no-store")
HSTS = (b"strict-transport-security", b"max-age=31536000")


class SecurityHeadersMiddleware(Middleware):
    """Adds the headers that a response lacks. `tls`: also HSTS, to use TLS only."""

    def __init__(self, *, tls: bool) -> None:
        self._always = dict(ALWAYS) | dict([HSTS] if tls else [])
        self._page = self._always | {b"content-security-policy": PAGE}

    def on_response(self, exchange: Exchange, headers: list[Header]) -> None:
        path = exchange.path
        added = self._page if path == "/docs" or path.startswith("/docs/") else self._always
        present = dict(headers)
        if added.keys().isdisjoint(present):
            headers += added.items()
        else:
            headers += [each for each in added.items() if each[0] not in present]
        if b"cookie" in exchange.headers:
            _keep_from_shared_caches(headers, present.get(b"cache-control"))


def _keep_from_shared_caches(headers: list[Header], stored: bytes | None) -> None:
    """Let no proxy keep a response to a request with a cookie, as it keeps none to one with the header Authorization.

    A browser that may keep it asks each time, so that it shows nothing after the session has ended (RFC 9111,
    sections 3.5 and 5.2.2). The directives of a stored blob count.
    """
    if stored is None:
        headers.append((b"cache-control", b"private, no-cache"))
    elif not any(word in stored.lower() for word in SHARED):
        headers[:] = [each for each in headers if each[0] != b"cache-control"]
        headers.append((b"cache-control", b"private, " + stored))
