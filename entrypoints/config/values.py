"""Parsers of settings. Each raises ValueError with what is wrong and what is allowed."""

import hashlib
import re
from pathlib import Path

from msgspec import Meta

from adapters.settings import is_scheme, number, path
from adapters.settings import without_login as without_login
from adapters.storage.backends import BACKENDS
from application.access.master_key import MIN_BYTES
from domain.blob import MAX_ID_BYTES
from domain.buckets import check_bucket_name
from domain.errors import InvalidBucketName
from domain.text import CONTROL_CHARACTER
from entrypoints.config import database_urls
from entrypoints.config.cores import usable_cores
from entrypoints.config.database_urls import DatabaseUrl

MAX_WORKERS = 256
AUTO = "auto"
S3_API = ("on", "off", "only")
DOMAIN = re.compile(r"(?=.{1,253}+\Z)(?!-)[a-z0-9-]{1,63}+(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}+(?<!-))*+")
PLACES_OF_SMALL_BLOBS = ("storage", "database")
_workers = number(int, Meta(ge=1, le=MAX_WORKERS))
TOKEN = re.compile(r"[!-+\--~]++")  # visible ASCII but for the comma


def read_secret(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        # The path is not shown: some give the secret itself here.
        raise ValueError(f"the file that it names can't be read: {error.strerror}.") from None


def storage(text: str) -> str:
    for name, backend in BACKENDS.items():
        if text.lower() in (name, *backend.aliases):
            return name
    allowed = [f"{name}{_or(backend.aliases)}" for name, backend in BACKENDS.items()]
    raise ValueError(f"{text!r} is no storage. Allowed: {', '.join(allowed)}.")


def _or(aliases: tuple[str, ...]) -> str:
    return f" (or {', '.join(aliases)})" if aliases else ""


def small_blobs(text: str) -> str:
    if (place := text.strip().lower()) not in PLACES_OF_SMALL_BLOBS:
        raise ValueError(f"{text!r} can't be used. Allowed: {', '.join(PLACES_OF_SMALL_BLOBS)}.")
    return place


def s3_api(text: str) -> str:
    if (serving := text.strip().lower()) not in S3_API:
        raise ValueError(f"{text!r} can't be used. Allowed: {', '.join(S3_API)}.")
    return serving


def domain(text: str) -> str:
    """Return a name of a host in lower case."""
    name = text.strip().lower()
    if not DOMAIN.fullmatch(name):
        raise ValueError(f"{text!r} is not the name of a host, without a port: s3.example.com")
    return name


def buckets(text: str) -> tuple[tuple[str, str], ...]:
    """Return the names of buckets with their prefixes of ids: `films=films/, all=`."""
    found: dict[str, str] = {}
    for each in text.split(","):
        name, equals, prefix = each.strip().partition("=")
        if not equals:
            raise ValueError(f"{each.strip()!r} is no bucket with a prefix, such as films=films/")
        if _bucket_name(name) in found:
            raise ValueError(f"the bucket {name} is there twice.")
        if CONTROL_CHARACTER.search(prefix) or len(prefix.encode()) > MAX_ID_BYTES // 2:
            raise ValueError(f"the prefix of {name} is too long, or has control characters.")
        found[name] = prefix
    return tuple(found.items())


def bucket_names(text: str) -> tuple[str, ...]:
    return tuple(_bucket_name(each.strip()) for each in text.split(",") if each.strip())


def _bucket_name(name: str) -> str:
    try:
        check_bucket_name(name)
    except InvalidBucketName as error:
        raise ValueError(f"{name!r} is no name of a bucket. {error.detail}") from None
    return name


def workers(text: str) -> int:
    """Return the number of workers: `auto` means one for each core."""
    return min(usable_cores(), MAX_WORKERS) if text.strip() == AUTO else _workers(text)


def tokens(text: str) -> tuple[bytes, ...]:
    """Return the SHA-256 of each. The tokens themselves are not kept."""
    tokens = tuple(token for part in text.split(",") if (token := part.strip()))
    if not tokens or not all(TOKEN.fullmatch(token) for token in tokens):
        raise ValueError("a token is visible ASCII characters without spaces; several are separated by commas.")
    return tuple(map(hashed, tokens))


def master_key(text: str) -> bytes:
    secret = text.strip().encode()
    if len(secret) < MIN_BYTES:
        raise ValueError(f"a master key has at least {MIN_BYTES} characters. This makes one: openssl rand -hex 32")
    return secret


def audit_log(text: str) -> str:
    """Return `stdout`, or the absolute path of a file."""
    if text.strip().lower() == "stdout":
        return "stdout"
    return str(path(text).absolute())


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def database_url(text: str) -> DatabaseUrl:
    """Return the URL without the name of a driver, which Drivebay chooses."""
    scheme, separator, rest = text.partition("://")
    kind = scheme.partition("+")[0]
    if separator and kind == "sqlite":
        if not rest.startswith("/") or rest[1:].startswith(":memory:") or "?" in rest or rest == "/":
            raise ValueError("SQLite takes a file and no options: sqlite:///relative.db or sqlite:////absolute.db.")
        return DatabaseUrl(f"sqlite://{rest}")
    if separator and kind in ("postgresql", "postgres"):
        return database_urls.postgresql(rest)
    if separator and kind in ("mariadb", "mysql"):
        return database_urls.mariadb(rest)
    allowed = "Allowed: sqlite:///..., postgresql://..., mariadb://..."
    shown = scheme if separator and is_scheme(scheme) else "a URL without a scheme"
    raise ValueError(f"{shown} is not known. {allowed}")
