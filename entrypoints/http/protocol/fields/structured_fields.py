"""Items of Structured Fields (RFC 9651) that are booleans or integers.

Their parameters mean nothing here, but must be well-formed: otherwise the whole field is ignored.
"""

import base64
import binascii
import string

from entrypoints.http.protocol.fields.header_values import MAX_SIZE, TOKEN, is_digits

MAX_DIGITS = 15
_FIRST_OF_KEY = frozenset(string.ascii_lowercase + "*")
_KEY = frozenset(string.ascii_lowercase + string.digits + "_-.*")
_FIRST_OF_TOKEN = frozenset(string.ascii_letters + "*")
_TOKEN = TOKEN | {":", "/"}
_VISIBLE = frozenset(map(chr, range(0x20, 0x7F)))


def boolean(value: str | None) -> bool | None:
    """Return a Boolean. None if there is none: then ignore the field."""
    return {"?0": False, "?1": True}.get(_bare_item(value))


def natural_number(value: str | None) -> int | None:
    """Return an Integer that is not negative. None if there is none: then ignore the field."""
    bare = _bare_item(value)
    if bare == "-0":
        return 0
    return int(bare) if is_digits(bare) and len(bare) <= MAX_DIGITS else None


def _bare_item(value: str | None) -> str:
    """Return the item without its parameters; empty if the value is malformed, or is not a number or a boolean."""
    if value is None or len(value) > MAX_SIZE:
        return ""
    bare, semicolon, rest = value.strip(" ").partition(";")
    return bare if not semicolon or _are_parameters(rest) else ""


def _are_parameters(text: str) -> bool:
    """Return whether these are parameters, from the key of the first one on."""
    position = 0
    while True:
        while text.startswith(" ", position):
            position += 1
        start = position
        while position < len(text) and text[position] in _KEY:
            position += 1
        if position == start or text[start] not in _FIRST_OF_KEY:
            return False
        if text.startswith("=", position):
            position = _end_of_value(text, position + 1)
        if position == len(text):
            return True
        if position < 0 or text[position] != ";":
            return False
        position += 1


def _end_of_value(text: str, start: int) -> int:
    """Return the position after the bare item at `start`; -1 if there is none."""
    if text.startswith('"', start):
        return _end_of_string(text, start + 1)
    end = text.find(";", start)
    end = len(text) if end < 0 else end
    return end if _is_simple(text[start:end]) else -1


def _end_of_string(text: str, position: int) -> int:
    while position < len(text) and text[position] in _VISIBLE:
        if text[position] == '"':
            return position + 1
        if text[position] == "\\":
            position += 1
            if text[position : position + 1] not in ('"', "\\"):
                return -1
        position += 1
    return -1


def _is_simple(text: str) -> bool:
    """Return whether this is a boolean, a number, a date, a token or a byte sequence."""
    if text in ("?0", "?1"):
        return True
    if text.startswith(":"):
        return len(text) > 1 and text.endswith(":") and _is_base64(text[1:-1])
    if text[:1] in _FIRST_OF_TOKEN:
        return _TOKEN.issuperset(text)
    whole, point, decimals = text.removeprefix("@").removeprefix("-").partition(".")
    if not point:
        return is_digits(whole) and len(whole) <= MAX_DIGITS
    is_decimal = is_digits(whole) and len(whole) <= 12 and is_digits(decimals) and len(decimals) <= 3
    return is_decimal and not text.startswith("@")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True
