"""Checksums as short texts in JSON: most rows have none, and the others one."""

import json
from base64 import b64decode, b64encode
from typing import Any

from domain.blob import ObjectKey
from domain.checksums import Checksums

OWN = 8  # digits of the key


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
    return json.dumps({name: value for name, value in values.items() if value}, separators=(",", ":"))


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
        b64decode(values["m"]),
        values.get("n", 0),
        values.get("a", ""),
        b64decode(values.get("c", "")),
        bool(values.get("d")),
        values.get("u", ""),
    )


def _start_of(key: str) -> str:
    return key[:OWN]


def _encoded(data: bytes) -> str:
    return b64encode(data).decode()
