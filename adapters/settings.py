"""Declarations of settings: a config class declares by which names operators set its fields, and how texts are parsed.

An adapter reads no environment: the entrypoints find the values, and create the config.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

T = TypeVar("T")

BOOLEANS = {**dict.fromkeys(["true", "yes", "on", "1"], True), **dict.fromkeys(["false", "no", "off", "0"], False)}


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of a field.

    `names` are equivalent, and the first is the usual one. `parse` returns the value of a text, or raises ValueError
    with what is allowed. A secret is never shown, and may be in a file. A backend without a `required` value can't be
    the storage for new blobs.
    """

    names: tuple[str, ...]
    parse: Callable[[str], Any]
    secret: bool
    required: bool


def setting(
    *names: str, default: Any, parse: Callable[[str], Any] = str, secret: bool = False, required: bool = False
) -> Any:
    """Declare a field of a config class."""
    declaration = Setting(names, parse, secret, required)
    return field(default=default, repr=not secret, metadata={"setting": declaration})


def declared(config: Any) -> dict[str, Setting]:
    """Return the settings of a config class, or of an instance, by the names of their fields."""
    return {each.name: each.metadata["setting"] for each in fields(config) if "setting" in each.metadata}


def number(kind: type[T], bounds: Meta) -> Callable[[str], T]:
    """Return a parser of numbers within `bounds`."""
    wanted: Any = Annotated[kind, bounds]

    def parse(text: str) -> T:
        try:
            number: T = msgspec.convert(text.strip(), wanted, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"{text!r} can't be used: {error}.") from None
        return number

    return parse


COUNT = number(int, Meta(ge=1))
PORT = number(int, Meta(ge=1, le=65535))
SECONDS = number(float, Meta(gt=0, le=366 * 24 * 3600))


def boolean(text: str) -> bool:
    if text.strip().lower() not in BOOLEANS:
        raise ValueError(f"{text!r} can't be used. Allowed: true, false.")
    return BOOLEANS[text.strip().lower()]


def path(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{text!r} can't be used: {error}") from None


def line(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise ValueError("it has more than one line.")
    return text


def host(text: str) -> str:
    if set("/@?#") & set(text):  # the value is not shown: it may be a URL with a password
        raise ValueError("it takes the name or the address of a host, and nothing else.")
    return line(text)


def http_url(text: str) -> str:
    if not _is_http(text):
        raise ValueError(f"{without_login(text)!r} can't be used: it takes http://host:port or https://host:port.")
    return text.rstrip("/")


def _is_http(text: str) -> bool:
    try:
        url = urlsplit(text)
        has_port_0 = url.port == 0  # raises an error if it is not a port
    except ValueError:  # which may quote the password
        return False
    return url.scheme in ("http", "https") and bool(url.hostname) and not has_port_0


def without_login(text: str) -> str:
    """Return what may be shown of a URL, or of an attempt at one: no user, no password, no query."""
    scheme, separator, rest = text.partition("://")
    if not is_scheme(scheme):
        scheme, separator, rest = "", "", text
    _, at, place = rest.rpartition("@")
    return f"{scheme}{separator}{'...@' if at else ''}{place.partition('?')[0]}"


def is_scheme(text: str) -> bool:
    """Whether this may be shown as the scheme of a URL."""
    return 0 < len(text) <= 30 and text.isascii() and text.replace("+", "").isalnum()
