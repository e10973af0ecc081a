"""The cookie of a session (RFC 6265), and the requests that it counts for.

Browsers send cookies without being asked. So a session counts only for requests from pages of this server itself:
those of its own origin (Fetch standard).
"""

from datetime import datetime
from typing import Any

from entrypoints.http.protocol.addresses import origin
from entrypoints.http.protocol.problems import HttpProblem

NAME = "drivebay_session"
SECURE = f"__Host-{NAME}"
"""The name over https. Browsers take such a cookie only over https, from exactly this host, and for all paths."""
ATTRIBUTES = "Path=/; HttpOnly; SameSite=Strict"
SAFE = ("GET", "HEAD", "OPTIONS")
# Destinations (Fetch standard) that run what they load, or apply it to a page. Blobs are for neither.
CODE = frozenset({b"script", b"style", b"xslt", b"worker", b"sharedworker", b"serviceworker", b"audioworklet"})


def session_in(scope: Any) -> str | None:
    """Return the session in the cookie of a request, valid or not; None if it has none, or several.

    Raises HttpProblem 403 if a session does not count for this request.
    """
    cookies = _values(scope, b"cookie")
    if not cookies:
        return None
    name = _name(scope).encode()
    pairs = [each.strip().partition(b"=") for each in b";".join(cookies).split(b";")]
    found = [value for key, _, value in pairs if key == name]
    if len(found) != 1:
        return None
    # The method override is one of tus.
    is_safe = scope["method"] in SAFE and not _values(scope, b"x-http-method-override")
    if not is_of_own_page(scope, needs_proof=not is_safe) or not CODE.isdisjoint(_values(scope, b"sec-fetch-dest")):
        raise HttpProblem("cross_origin")
    return found[0].decode("latin-1")


def is_of_own_page(scope: Any, *, needs_proof: bool) -> bool:
    """Return whether a request comes from a page of this server, as far as the browser says.

    Browsers set both headers themselves. Sec-Fetch-Site is `none` if the user typed the address. It is missing over
    http, but to localhost; then Origin comes with all unsafe methods. `needs_proof`: one of the headers has to say so.
    """
    sites, origins = _values(scope, b"sec-fetch-site"), _values(scope, b"origin")
    if sites:
        return sites == [b"same-origin"] or (sites == [b"none"] and not needs_proof)
    if origins:
        return origins == [origin(scope).encode()]
    return not needs_proof


def cookie(scope: Any, session: str, expires_at: datetime, now: datetime) -> str:
    """Return the value of Set-Cookie for a session."""
    seconds = max(0, int((expires_at - now).total_seconds()))
    return _set(scope, session, seconds)


def no_cookie(scope: Any) -> str:
    """Return the value of Set-Cookie that removes the session."""
    return _set(scope, "", 0)


def _set(scope: Any, value: str, seconds: int) -> str:
    secure = "; Secure" if _is_https(scope) else ""
    return f"{_name(scope)}={value}; Max-Age={seconds}; {ATTRIBUTES}{secure}"


def _name(scope: Any) -> str:
    return SECURE if _is_https(scope) else NAME


def _is_https(scope: Any) -> bool:
    return origin(scope).startswith("https:")


def _values(scope: Any, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
