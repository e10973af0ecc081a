"""Standard base64 (RFC 4648, section 4), strictly: padded, canonical, and nothing between the characters.

So each sequence of bytes has one text, and what is fetched is what was stored, to the character. The libraries' strict
modes are not strict enough: they all take `QR==`, whose last bits are lost.
"""

import binascii
import re

import pybase64

FOREIGN = re.compile(rb"[^A-Za-z0-9+/]")


class Base64Error(ValueError):
    """The text is no standard base64. `offset` is that of the first character that is wrong, counted from 0."""

    def __init__(self, offset: int, fault: str) -> None:
        super().__init__(f"at offset {offset:,}: {fault}")
        self.offset = offset


class Decoder:
    """Decodes a text that comes in pieces, cut anywhere. What it says of a text does not depend on the cuts."""

    def __init__(self) -> None:
        self._decoded = 0  # characters
        self._last = b""

    def feed(self, text: bytes) -> bytes:
        """The bytes that can be told by now: all but those of the last group of four. Raises Base64Error."""
        text = self._last + text
        # Only when another character follows, or none, it is clear whether a group may be padded.
        whole = max(len(text) - 1, 0) // 4 * 4
        groups, self._last = memoryview(text)[:whole], text[whole:]
        try:
            data = pybase64.b64decode(groups, validate=True)
        except binascii.Error:
            raise self._fault(text) from None
        if len(data) != whole // 4 * 3:
            raise self._fault(text)
        self._decoded += whole
        return data

    def end(self) -> bytes:
        """The bytes of the last group. Raises Base64Error."""
        try:
            data = pybase64.b64decode(self._last, validate=True)
        except binascii.Error:
            raise self._fault(self._last) from None
        if pybase64.b64encode(data) != self._last:
            raise self._fault(self._last)
        return data

    def _fault(self, text: bytes) -> Base64Error:
        offset, fault = _first_fault(text)
        return Base64Error(self._decoded + offset, fault)


class Encoder:
    """Encodes bytes that come in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """The characters that can be told by now: three bytes make four."""
        start = -len(self._rest) % 3
        if len(data) < start:
            self._rest += data
            return b""
        stop = len(data) - (len(data) - start) % 3
        first, self._rest = self._rest + data[:start], data[stop:]
        # Where the piece before has left nothing over, this does not copy: a copy takes longer than the encoding.
        return pybase64.b64encode(first) + pybase64.b64encode(memoryview(data)[start:stop])

    def end(self) -> bytes:
        """The last characters."""
        return pybase64.b64encode(self._rest)


def encoded_size(size: int) -> int:
    """How many characters `size` bytes take."""
    return (size + 2) // 3 * 4


def _first_fault(text: bytes) -> tuple[int, str]:
    foreign = FOREIGN.search(text)
    if foreign is None:
        return len(text), "it ends too early: the characters come in groups of four, filled up with '='."
    offset, rest = foreign.start(), text[foreign.start() :]
    if foreign[0] != b"=":
        return offset, f"{_told(foreign[0])} is not in the standard alphabet (A-Z, a-z, 0-9, +, /)."
    if rest not in (b"=", b"==") or len(rest) != -offset % 4:
        return offset, "'=' may stand only at the end, one or two to fill up the last group of four."
    return offset - 1, f"{_told(text[offset - 1 : offset])} has bits that the padding cuts off. Encode the bytes anew."


def _told(character: bytes) -> str:
    return repr(character.decode()) if character.isascii() else f"the byte 0x{character[0]:02X}"
