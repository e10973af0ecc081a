"""Security headers for browsers, on every response."""

from collections.abc import Mapping

from entrypoints.http.middleware.exchange import Exchange, Header
from entrypoints.http.middleware.stack import Middleware

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
