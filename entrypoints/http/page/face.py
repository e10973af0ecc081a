"""The page for people, and its files: static, served from memory, by a strict content security policy."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from litestar import Request, Response, get

from entrypoints.http.middleware.routes.load_shedding import LoadSheddingMiddleware, RequestSlots
from entrypoints.http.middleware.routes.query import QueryMiddleware
from entrypoints.http.protocol.fields.content_security import hash_source
from entrypoints.http.protocol.problems import EXCEPTION_HANDLERS, HttpProblem
from entrypoints.http.routers import FaceRouter

ASSETS = Path(__file__).parent / "assets"
PAGE, FILES = "/", "/ui"
"""Where they are. `ui` is too short for the name of a bucket."""
MAX_REQUESTS = 64  # concurrent, in one worker; requests without a token must not use up the slots of others
TYPES = {
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
STYLE_SHEETS = ["base.css", "app.css"]  # in the page itself, because a browser paints nothing before it has them
# Previews: images and media come from the interface itself, and PDFs as blobs, which the browser's viewer shows.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src {style}; connect-src 'self'; img-src 'self' blob:; "
    "media-src 'self'; frame-src blob:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, as it is and compressed."""

    media_type: str
    content: bytes
    compressed: bytes
    digest: str
    policy: str

    @classmethod
    def of(cls, media_type: str, content: bytes, policy: str) -> "Asset":
        """Return a file with this content, and the policy that it is sent with."""
        digest = hashlib.sha256(content).hexdigest()[:32]
        return cls(media_type, content, gzip.compress(content, mtime=0), digest, policy)

    def response(self, accepted: str, condition: str) -> Response[bytes | None]:
        """Respond to GET with these values of Accept-Encoding and If-None-Match.

        Browsers ask each time whether their copy is current.
        """
        is_compressed = _takes_gzip(accepted)
        etag = f'"{self.digest}{"-gzip" if is_compressed else ""}"'
        common = {
            "ETag": etag,
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
            "Content-Security-Policy": self.policy,
            # With `no-referrer`, the Origin of its forms is null, and the session does not count (Fetch standard).
            "Referrer-Policy": "same-origin",
        }
        if _matches(condition, etag):
            return Response(None, status_code=304, headers=common)
        if is_compressed:
            common["Content-Encoding"] = "gzip"
        body = self.compressed if is_compressed else self.content
        return Response(body, media_type=self.media_type, headers=common)


def _takes_gzip(accepted: str) -> bool:
    """Return whether a value of Accept-Encoding names gzip, and does not refuse it (RFC 9110, section 12.5.3)."""
    for each in accepted.split(","):
        coding, _, weight = each.partition(";")
        if coding.strip().lower() == "gzip":
            return weight.replace(" ", "").lower().rstrip("0.") != "q="
    return False


def _matches(condition: str, etag: str) -> bool:
    """Return whether a value of If-None-Match has this entity tag, by weak comparison (RFC 9110, section 13.1.2)."""
    return condition.strip() == "*" or etag in {each.strip().removeprefix("W/") for each in condition.split(",")}


@cache
def assets() -> Mapping[str, Asset]:
    """Return the files by their paths. They are read once, because to compress them takes long."""
    files = {
        f"{FILES}/{path.relative_to(ASSETS).as_posix()}": path
        for path in sorted(ASSETS.rglob("*"))
        if path.suffix in TYPES
    }
    style = b"".join((ASSETS / name).read_bytes() for name in STYLE_SHEETS)
    icon = (ASSETS / "icon.svg").read_bytes().strip()
    modules = " ".join(path for path in files if path.endswith(".js")).encode()
    page = (ASSETS / "index.html").read_bytes()
    page = page.replace(b"{style}", style).replace(b"{icon}", icon).replace(b"{modules}", modules)
    policy = POLICY.format(style=hash_source(style))
    return {PAGE: Asset.of("text/html", page, policy)} | {
        path: Asset.of(TYPES[file.suffix], file.read_bytes(), policy) for path, file in files.items()
    }


def create() -> FaceRouter:
    """Create the routes of the page and its files. No token is needed."""
    by_path = assets()
    slots = RequestSlots(MAX_REQUESTS)

    def shedding(app: Any) -> LoadSheddingMiddleware:  # a function, because the framework copies objects
        return LoadSheddingMiddleware(app, slots)

    # A path for each, because only paths without parameters are routed.
    @get([*by_path], sync_to_thread=False)
    def file(request: Request[Any, Any, Any]) -> Response[bytes | None]:
        """Send a file of the page. A client of S3 that signs its requests gets none, also where S3 is off."""
        if request.headers.get("authorization", "").startswith("AWS"):
            raise HttpProblem("unknown_route")
        asset, given = by_path[request.scope["path"]], request.headers
        return asset.response(given.get("accept-encoding", ""), given.get("if-none-match", ""))

    return FaceRouter(
        "/",
        route_handlers=[file],
        middleware=[shedding, QueryMiddleware],
        exception_handlers=EXCEPTION_HANDLERS,
        include_in_schema=False,
    )
