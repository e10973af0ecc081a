"""Standard base64 (RFC 4648, section 4), strictly: padded, canonical, and nothing between the characters.

So each sequence of bytes has one text, and what is fetched is what was stored, to the character. The libraries' strict
modes are not strict enough: they all take `QR==`, whose last bits are lost.
"""

import binascii
import re

import pybase64

FOREIGN = re.compile(rb"[^A-Za-z0-9+/]")
BREAKS = b"\r\n"
MAX_LAST_BREAKS = 2  # more than one line break has
DATA_URL = b"data:"


class Base64Error(ValueError):
    """The text is not standard base64. `offset`: of the first wrong character, counted from 0."""

    def __init__(self, offset: int, problem: str) -> None:
        super().__init__(f"at offset {offset:,}: {problem}")
        self.offset = offset


class Decoder:
    """Decoder of a text that comes in chunks, cut anywhere. Neither bytes nor errors depend on the cuts."""

    def __init__(self) -> None:
        self._decoded = 0  # characters
        self._start = b""
        self._last = b""

    def feed(self, text: bytes) -> bytes:
        """Return the bytes known so far: all except the last group of four. Raises Base64Error."""
        self._start = (self._start + text[: len(DATA_URL)])[: len(DATA_URL)]
        text = self._last + text
        breaks = _last_breaks(text)
        if breaks > MAX_LAST_BREAKS:
            raise self._error(text)
        # Only when another character follows, or none, it is clear whether a group may be padded, and whether a line
        # break is one of many or the end.
        whole = max(len(text) - breaks - 1, 0) // 4 * 4
        groups, self._last = memoryview(text)[:whole], text[whole:]
        try:
            data = pybase64.b64decode(groups, validate=True)
        except binascii.Error:
            raise self._error(text) from None
        if len(data) != whole // 4 * 3:
            raise self._error(text)
        self._decoded += whole
        return data

    def end(self) -> bytes:
        """Return the bytes of the last group. Raises Base64Error."""
        try:
            data = pybase64.b64decode(self._last, validate=True)
        except binascii.Error:
            raise self._error(self._last) from None
        if pybase64.b64encode(data) != self._last:
            raise self._error(self._last)
        return data

    def _error(self, text: bytes) -> Base64Error:
        offset, problem = _first_problem(text)
        if self._start.lower() == DATA_URL and self._decoded + offset == DATA_URL.index(b":"):
            problem = "it is a data: URL. Send only what follows its comma."
        return Base64Error(self._decoded + offset, problem)


class Encoder:
    """Encoder of bytes that come in chunks."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return the characters known so far: three bytes make four."""
        start = -len(self._rest) % 3
        if len(data) < start:
            self._rest += data
            return b""
        stop = len(data) - (len(data) - start) % 3
        first, self._rest = self._rest + data[:start], data[stop:]
        # If the previous chunk left no rest, this does not copy: a copy takes longer than the encoding.
        return pybase64.b64encode(first) + pybase64.b64encode(memoryview(data)[start:stop])

    def end(self) -> bytes:
        """Return the last characters."""
        return pybase64.b64encode(self._rest)


encode = pybase64.b64encode  # returns the characters of some bytes


def encoded_size(size: int) -> int:
    """Return the number of characters that encode `size` bytes."""
    return (size + 2) // 3 * 4


def _last_breaks(text: bytes) -> int:
    """Count the line feeds and carriage returns at the end, but not many more than there may be."""
    count = 0
    while count <= min(MAX_LAST_BREAKS, len(text) - 1) and text[-1 - count] in BREAKS:
        count += 1
    return count


def _first_problem(text: bytes) -> tuple[int, str]:
    foreign = FOREIGN.search(text)
    if foreign is None:
        return len(text), "it ends too early: the characters come in groups of four, filled up with '='."
    offset = foreign.start()
    if foreign[0] == b"=":
        return _padding_problem(text, offset)
    return offset, _character_problem(text[offset:])


def _padding_problem(text: bytes, offset: int) -> tuple[int, str]:
    padding = -offset % 4
    end = offset + padding
    rest = text[end:]
    if text[offset:end] != b"=" * padding or padding not in (1, 2) or rest[:1].strip(BREAKS):
        return offset, "'=' may stand only at the end, one or two to fill up the last group of four."
    last = text[end - 4 : end]
    if pybase64.b64encode(pybase64.b64decode(last)) != last:
        character = _described(text[offset - 1 : offset])
        return offset - 1, f"{character} has bits that the padding cuts off. Encode the bytes again."
    return end, _character_problem(rest)


def _character_problem(rest: bytes) -> str:
    """The error in the first character of `rest`, and how to avoid it. Tools produce most of these themselves."""
    character = rest[:1]
    if character in (b"\r", b"\n"):
        if len(rest) <= MAX_LAST_BREAKS and not rest.strip(BREAKS):
            return "it ends with a line break. Leave that out: `base64 -w0`, and `echo -n` or `printf %s`."
        return "it has line breaks. Leave them out: use `base64 -w0`, or an encoder that is not for MIME."
    if character in (b" ", b"\t"):
        return "it has white space. Leave that out; where it was a '+' in a URL or a form, escape that as %2B."
    if character in (b"-", b"_"):
        return "it is base64url. Use the standard alphabet: '+' for '-', '/' for '_', and '=' to fill up the end."
    return f"{_described(character)} is not in the standard alphabet (A-Z, a-z, 0-9, +, /)."


def _described(character: bytes) -> str:
    return repr(character.decode()) if character.isascii() else f"the byte 0x{character[0]:02X}"
