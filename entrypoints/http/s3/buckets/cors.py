"""Cross-origin requests of browsers (WHATWG Fetch, CORS protocol), by the rules of a bucket.

Source: Amazon S3 User Guide, Using cross-origin resource sharing (CORS).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from litestar.types import ASGIApp

from application.blobs.buckets import Buckets
from domain.buckets import Bucket, CorsRule
from entrypoints.http.middleware.base.exchange import Exchange, Header
from entrypoints.http.protocol.fields.header_values import tokens
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.request import S3Request
from entrypoints.http.s3.responses import empty_response

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
ORIGIN, METHOD, HEADERS = "origin", "access-control-request-method", "access-control-request-headers"
ANY = "*"
VARY = (b"vary", b"Origin, Access-Control-Request-Headers, Access-Control-Request-Method")
NO_RULE_MATCHES = (
    "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, request method "
    "/ Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the resource's CORS spec."
)


def matching(rules: Sequence[CorsRule], origin: str, method: str, headers: Sequence[str]) -> CorsRule | None:
    """Return the first rule that allows pages of an origin a request with this method and these headers, or None."""
    for rule in rules:
        if (
            method in rule.methods
            and any(_matches(pattern, origin) for pattern in rule.origins)
            and all(any(_matches(pattern.lower(), name.lower()) for pattern in rule.headers) for name in headers)
        ):
            return rule
    return None


def _matches(pattern: str, text: str) -> bool:
    """Return whether a text is as the pattern. A `*` in the pattern is for any text, also an empty one."""
    start, star, end = pattern.partition(ANY)
    if not star:
        return text == pattern
    return len(text) >= len(start) + len(end) and text.startswith(start) and text.endswith(end)


def preflight(request: S3Request, bucket: Bucket | None) -> ASGIApp:
    """Respond to a preflight, for which `CorsHeaders` adds what the rule says. Needs no credential: none is sent."""
    if ORIGIN not in request.headers:
        raise S3Error("BadRequest", "Insufficient information. Origin request header needed.")
    method = request.headers.get(METHOD)
    if method not in METHODS:
        raise S3Error("BadRequest", f"Invalid Access-Control-Request-Method: {method or 'null'}")
    if bucket is None:
        raise S3Error("AccessForbidden", "CORSResponse: Bucket not found")
    if not bucket.settings.cors:
        raise S3Error("AccessForbidden", "CORSResponse: CORS is not enabled for this bucket.")
    if _rule_for(request.method, request.headers, bucket.settings.cors) is None:
        raise S3Error("AccessForbidden", NO_RULE_MATCHES, Method=method, ResourceType="OBJECT")
    return empty_response(HTTPStatus.OK)


@dataclass(frozen=True, slots=True)
class CorsHeaders:
    """Completes any response to a request for a bucket. `bucket`: None if it was not looked up, without an origin.

    It does not refer to the request, which refers to it: no request should wait for the garbage collection.
    """

    buckets: Buckets
    name: str
    bucket: Bucket | None
    sent: Mapping[str, str]

    def __call__(self, exchange: Exchange, headers: list[Header]) -> None:
        found = self.bucket or self.buckets.remembered(self.name)
        if found is None or not found.settings.cors:
            return
        headers.append(VARY)
        rule = _rule_for(exchange.scope["method"], self.sent, found.settings.cors)
        if rule is not None:
            headers += _headers(rule, self.sent)


def _rule_for(method: str, headers: Mapping[str, str], rules: Sequence[CorsRule]) -> CorsRule | None:
    if ORIGIN not in headers:
        return None
    requested = tokens(headers.get(HEADERS, ""))
    if requested is None:
        return None
    return matching(rules, headers[ORIGIN], headers.get(METHOD, method), requested)


def _headers(rule: CorsRule, sent: Mapping[str, str]) -> list[Header]:
    fields = {
        "access-control-allow-origin": ANY if ANY in rule.origins else sent[ORIGIN],
        "access-control-allow-methods": ", ".join(rule.methods),
        "access-control-allow-headers": ", ".join(tokens(sent.get(HEADERS, "")) or ()).lower(),
        "access-control-expose-headers": ", ".join(rule.exposed),
        "access-control-max-age": "" if rule.max_age is None else str(rule.max_age),
    }
    return [(name.encode(), value.encode("latin-1")) for name, value in fields.items() if value]
