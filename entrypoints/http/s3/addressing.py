"""Which requests come from S3 clients, and which bucket and key they name.

The interface has the root of a server, because some clients take no path before a bucket. So it shares the port with
the other interfaces: it takes requests with a signature of AWS, those to a host of its own, forms that are posted to a
bucket, and readers of public buckets; where access control lists are in use, all without a credential. It may also have
a whole server for itself.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from litestar.types import HTTPScope

from domain.buckets import RESERVED

OPERATIONS = tuple(f"/{name}".encode() for name in RESERVED)
_SIGNED = (b"x-amz-signature=", b"x-amz-algorithm=", b"x-amz-credential=", b"awsaccesskeyid=")
REST = (b"/v1/", b"/s/")  # too short for the names of buckets
_FORM = b"multipart/form-data"
_ANONYMOUS = ("GET", "HEAD", "PUT", "DELETE")


class Serving(Enum):
    """The requests that the S3 interface takes."""

    OFF = "off"
    ON = "on"
    ONLY = "only"
    """All requests except to health, metrics and the documentation."""


@dataclass(frozen=True, slots=True)
class Addressing:
    """`domain`: that of virtual hosts, `<bucket>.<domain>`, or empty. `public`: the buckets that everybody may read.

    `acls`: whether access control lists may give rights to everybody, so that requests need no credential.
    """

    serving: Serving
    domain: str = ""
    public: Collection[str] = frozenset()
    acls: bool = False

    @property
    def others(self) -> tuple[bytes, ...]:
        """The beginnings of paths that never name a bucket."""
        return REST if self.serving is Serving.ON and not self.domain else ()

    def takes(self, scope: HTTPScope) -> bool:
        """Return whether this is a request of an S3 client."""
        if self.serving is Serving.OFF:
            return False
        if scope["raw_path"].startswith(self.others):
            return False
        query, headers = scope["query_string"], scope["headers"]
        if query:
            lowered = query.lower()
            if any(name in lowered for name in _SIGNED):
                return True
        content_type, has_credential = b"", False
        for name, value in headers:
            if name == b"authorization" and value[:3].upper() == b"AWS":
                return True
            if name == b"authorization":
                has_credential = True
            if name == b"content-type":
                content_type = value
            if name == b"host" and self.domain and self._bucket_of_host(value) is not None:
                return True
        path = scope["raw_path"]
        is_operation = _is_operation(path)
        if self.serving is Serving.ONLY:
            return not is_operation
        if is_operation:
            return False
        bucket, slash, rest = path[1:].partition(b"/")
        if scope["method"] == "POST" and not rest and len(bucket) > 2 and content_type.lower().startswith(_FORM):
            return True
        method = scope["method"]
        if method in ("GET", "HEAD") and slash and bucket.decode("latin-1") in self.public:
            return True
        return self.acls and not has_credential and method in _ANONYMOUS and len(bucket) > 2

    def may_be_preflight(self, scope: HTTPScope) -> bool:
        """Return whether this is a preflight of a browser (WHATWG Fetch) for what may be a bucket.

        It has no credential, so only the rules of the bucket show that it is one of an S3 client.
        """
        if scope["method"] != "OPTIONS" or self.serving is not Serving.ON:
            return False
        path = scope["raw_path"]
        if _is_operation(path) or len(path[1:].partition(b"/")[0]) <= 2:
            return False
        names = {name for name, _ in scope["headers"]}
        return {b"origin", b"access-control-request-method"} <= names

    def bucket_and_key(self, scope: HTTPScope) -> tuple[bytes, bytes]:
        """Return the bucket and the key as they were sent; both may be empty."""
        path = scope["raw_path"][1:]
        if self.domain:
            for name, value in scope["headers"]:
                if name == b"host" and (bucket := self._bucket_of_host(value)):
                    return bucket, path
        bucket, _, key = path.partition(b"/")
        return bucket, key

    def resource(self, scope: HTTPScope) -> bytes:
        """Return the path as it was sent, with the bucket first."""
        if self.domain:
            for name, value in scope["headers"]:
                if name == b"host" and (bucket := self._bucket_of_host(value)):
                    return b"/%b%b" % (bucket, scope["raw_path"])
        return scope["raw_path"]

    def _bucket_of_host(self, host: bytes) -> bytes | None:
        """Return the bucket that a host names; empty for the domain itself, and None for another host."""
        name = host.rpartition(b":")[0] if host.rpartition(b":")[2].isdigit() else host
        name, domain = name.lower(), self.domain.encode()
        if name == domain:
            return b""
        return name.removesuffix(b"." + domain) if name.endswith(b"." + domain) else None


def _is_operation(path: bytes) -> bool:
    """Return whether this is a path of health, metrics or the documentation."""
    return path.startswith(OPERATIONS) and path.partition(b"/")[2].partition(b"/")[0].decode("latin-1") in RESERVED
