"""Checksums as short texts in JSON: most rows have none, and the others one."""

import json
from binascii import a2b_base64, b2a_base64
from typing import Any

from domain.blob import ObjectKey
from domain.checksums import Checksums

OWN = 8  # digits of the key
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode  # `dumps` would make an encoder for each text


def text_of(checksums: Checksums | None, key: ObjectKey) -> str | None:
    """Return the text for the content, or the object, with this key. Absent values have no member.

    `m`: the MD5; `c`: the result of the algorithm `a`; both in Base64 (RFC 4648, section 4). `d`: 1 for a composite
    one. `n`: the number of parts. `u`: the upload. `k`: the beginning of the key.
    """
    if checksums is None:
        return None
    values: dict[str, Any] = {
        "m": _encoded(checksums.md5),
        "n": checksums.parts,
        "a": checksums.algorithm,
        "c": _encoded(checksums.checksum),
        "d": int(checksums.is_composite),
        "u": checksums.upload,
        "k": _start_of(key.value),
    }
    return _ENCODE({name: value for name, value in values.items() if value})


def checksums_of(text: str | None, key: str) -> Checksums | None:
    """Return the checksums in the row of this key.

    None if they belong to other bytes: a server of an older version does not know this column, and leaves it as it is
    when it replaces the bytes.
    """
    if text is None:
        return None
    values = json.loads(text)
    if values["k"] != _start_of(key):
        return None
    return Checksums(
        a2b_base64(values["m"]),
        values.get("n", 0),
        values.get("a", ""),
        a2b_base64(values.get("c", "")),
        bool(values.get("d")),
        values.get("u", ""),
    )


def own_mark(key: ObjectKey) -> str:
    """Return the member of a text that says to which key it belongs, as `text_of` writes it."""
    return f'"k":"{_start_of(key.value)}"'


def _start_of(key: str) -> str:
    return key[:OWN]


def _encoded(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
