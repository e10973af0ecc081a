"""Standard base64 (RFC 4648, section 4), strictly: padded, canonical, and nothing between the characters.

So each sequence of bytes has one text, and what is fetched is what was stored, to the character. The libraries' strict
modes are not strict enough: they all take `QR==`, whose last bits are lost.
"""

import binascii
import re

import pybase64

FOREIGN = re.compile(r"[^A-Za-z0-9+/]")


class Base64Error(ValueError):
    """The text is no standard base64. `offset` is that of the first character that is wrong, counted from 0."""

    def __init__(self, offset: int, fault: str) -> None:
        super().__init__(f"at offset {offset:,}: {fault}")
        self.offset = offset


def decode(text: str) -> bytes:
    """The bytes that `text` stands for. Raises Base64Error."""
    try:
        data = pybase64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _fault(text) from None
    tail = data[len(data) - len(data) % 3 :]
    if len(text) != encoded_size(len(data)) or not text.endswith(pybase64.b64encode(tail).decode()):
        raise _fault(text)
    return data


def encoded_size(size: int) -> int:
    """How many characters `size` bytes take."""
    return (size + 2) // 3 * 4


def _fault(text: str) -> Base64Error:
    foreign = FOREIGN.search(text)
    if foreign is None:
        return Base64Error(len(text), "it ends too early: the characters come in groups of four, filled up with '='.")
    offset, rest = foreign.start(), text[foreign.start() :]
    if rest[0] != "=":
        return Base64Error(offset, f"{rest[0]!r} is not in the standard alphabet (A-Z, a-z, 0-9, +, /).")
    if rest.strip("="):
        return Base64Error(offset, "'=' may stand only at the end.")
    if len(rest) != -offset % 4 or len(rest) > 2:
        return Base64Error(offset, "the padding is wrong: '=' fills up the last group of four, with two at the most.")
    return Base64Error(offset - 1, f"{text[offset - 1]!r} has bits that the padding cuts off. Encode the bytes anew.")
