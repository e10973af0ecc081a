"""The values of settings, from text. Each raises ValueError with what is wrong and what is allowed."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from entrypoints.config import database_urls
from entrypoints.config.database_urls import DatabaseUrl

T = TypeVar("T")
Tls = Literal["explicit", "implicit", "none"]
Passive = Literal["epsv", "pasv"]

SCHEME = re.compile(r"[a-z0-9+]{1,30}", re.IGNORECASE)
TOKEN = re.compile(r"[!-+\--~]+")  # visible ASCII but for the comma
STORAGES = {
    **dict.fromkeys(["fs", "filesystem", "local"], "fs"),
    **dict.fromkeys(["database", "db"], "database"),
    "s3": "s3",
    "ftp": "ftp",
    "memory": "memory",
}
FTP_TLS: dict[str, Tls] = {
    **dict.fromkeys(["true", "yes", "on", "1", "explicit"], "explicit"),
    "implicit": "implicit",
    **dict.fromkeys(["false", "no", "off", "0", "none"], "none"),
}


def read_secret(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as fault:
        # The path is not shown: some give the secret itself here.
        raise ValueError(f"the file that it names can't be read: {fault.strerror}.") from None


def storage(text: str) -> str:
    if text.lower() not in STORAGES:
        allowed = "fs (or filesystem, local), database (or db), s3, ftp, memory"
        raise ValueError(f"{text!r} is no storage. Allowed: {allowed}.")
    return STORAGES[text.lower()]


def tokens(text: str) -> tuple[bytes, ...]:
    """The SHA-256 of each: what they are is not kept."""
    tokens = tuple(token for part in text.split(",") if (token := part.strip()))
    if not tokens or not all(TOKEN.fullmatch(token) for token in tokens):
        raise ValueError("a token is visible ASCII characters without spaces; several are separated by commas.")
    return tuple(map(hashed, tokens))


def hashed(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as fault:
        raise ValueError(f"{text!r} can't be used: {fault}") from None


def boolean(text: str) -> bool:
    words = {**dict.fromkeys(["true", "yes", "on", "1"], True), **dict.fromkeys(["false", "no", "off", "0"], False)}
    if text.strip().lower() not in words:
        raise ValueError(f"{text!r} can't be used. Allowed: true, false.")
    return words[text.strip().lower()]


def http_url(text: str) -> str:
    if not _is_http(text):
        raise ValueError(f"{without_login(text)!r} can't be used: it takes http://host:port or https://host:port.")
    return text.rstrip("/")


def s3_endpoint(text: str) -> str:
    url = http_url(text)
    if "@" in urlsplit(url).netloc:
        raise ValueError("it takes no user and no password. Set S3_ACCESS_KEY and S3_SECRET_KEY.")
    return url


def _is_http(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:  # which may quote the password
        return False
    return url.scheme in ("http", "https") and bool(url.hostname)


def without_login(text: str) -> str:
    """Return what may be shown of a URL, or of what was meant to be one: no user, no password, no query."""
    scheme, separator, rest = text.partition("://")
    if not SCHEME.fullmatch(scheme):
        scheme, separator, rest = "", "", text
    _, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{'...@' if at else ''}{place.partition('?')[0]}"


def host(text: str) -> str:
    if set("/@?#") & set(text):  # the value is not shown: it may be a URL with a password
        raise ValueError("it takes the name or the address of a host, and nothing else.")
    return line(text)


def line(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise ValueError("it has more than one line.")
    return text


def ftp_tls(text: str) -> Tls:
    if text.lower() not in FTP_TLS:
        raise ValueError(f"{text!r} can't be used. Allowed: true (or explicit), implicit, false.")
    return FTP_TLS[text.lower()]


def ftp_passive(text: str) -> tuple[Passive, ...]:
    commands = tuple(command.strip().lower() for command in text.split(","))
    known = tuple(name for command in commands for name in get_args(Passive) if name == command)
    if known != commands or len(set(known)) != len(known):
        raise ValueError(f"{text!r} can't be used. Allowed: epsv, pasv, or both with a comma in the order to try them.")
    return known


def number(kind: type[T], bounds: Meta) -> Callable[[str], T]:
    wanted: Any = Annotated[kind, bounds]

    def parse(text: str) -> T:
        try:
            number: T = msgspec.convert(text.strip(), wanted, strict=False)
        except msgspec.ValidationError as fault:
            raise ValueError(f"{text!r} can't be used: {fault}.") from None
        return number

    return parse


def database_url(text: str) -> DatabaseUrl:
    """A URL with the plain name of the database: the driver is chosen here, not there."""
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
    shown = scheme if separator and SCHEME.fullmatch(scheme) else "a URL without a scheme"
    raise ValueError(f"{shown} is not known. {allowed}")
