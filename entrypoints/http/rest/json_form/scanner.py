"""A scanner for the body of a POST in the JSON form. It decodes `data` as it comes, and passes the bytes on.

The rest of a body is small. It is kept as the *frame*: the body as if `data` were empty. The JSON library decides
whether the frame is JSON of the right shape, so the scanner only has to find both ends of `data`.

Reports the first error in the body, except for errors that only show at its end. In `data`, any character that is not
base64 is an error, whatever JSON may say about it.
"""

import json
import re
from enum import Enum, auto
from typing import Any, TypeVar

import msgspec

from domain.blob import MAX_ID_BYTES, BlobId
from domain.errors import InvalidId
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.json_form import base64_text
from entrypoints.http.rest.scanned_bodies import BodyScanner

T = TypeVar("T")

# For an id of 2,048 bytes in its longest spelling, \u0041 for each, the names, and ample white space.
MAX_FRAME = 24 * 1024
LONGEST = 6  # bytes for one character of base64
QUOTE = ord('"')
EXAMPLE = '{"id": "my-blob", "data": "SGVsbG8gV29ybGQh"}'

# A member up to the opening quote of its value, with what separates it from what was before.
MEMBER = re.compile(rb'[ \t\n\r]*+[{,][ \t\n\r]*+("(?:[^"\\]++|\\.)*+")[ \t\n\r]*+:[ \t\n\r]*+"', re.DOTALL)
REST_OF_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+"', re.DOTALL)
# What stands in a string: characters, and whole escapes. And an escape that is not whole yet.
TEXT = re.compile(rb'(?:[^"\\]++|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*+')
BEGUN_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{0,3}+)?+")
ESCAPE = re.compile(rb"\\(?:u(....)|.)")
SHORT_ESCAPES = {
    rb"\b": b"\b",
    rb"\f": b"\f",
    rb"\n": b"\n",
    rb"\r": b"\r",
    rb"\t": b"\t",
}  # the others are the character
POSITION = re.compile(r"\(byte (\d{1,20}+)\)", re.ASCII)


class NewBlobBody(msgspec.Struct, forbid_unknown_fields=True):
    """A blob to be stored: `data` in standard base64."""

    id: str
    data: str


class _BodySoFar(msgspec.Struct, forbid_unknown_fields=True):
    data: str
    id: str | msgspec.UnsetType = msgspec.UNSET


class _PlainBody(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    data: msgspec.Raw


class _Place(Enum):
    BEFORE = auto()
    DATA = auto()
    AFTER = auto()


class Scanner(BodyScanner):
    """Scanner of a body in chunks, cut anywhere. `id` is the blob's id, or None until it has been read.

    Raises HttpProblem 400 for a malformed body, and INVALID_ID.
    """

    def __init__(self) -> None:
        self.id: BlobId | None = None
        self._place = _Place.BEFORE
        self._frame = b""
        self._member = 0  # where the next one starts in the frame
        self._escape = b""  # what has come of one
        self._base64 = base64_text.Decoder()
        self._length = 0  # of what data holds, as it stands in the body

    @property
    def is_in_data(self) -> bool:
        """Whether `data` has begun. If its id is not known by then, it comes after."""
        return self._place is not _Place.BEFORE

    def feed(self, chunk: bytes) -> bytes:
        """Return the blob's bytes that are known now and were not returned before."""
        data = b""
        if self._place is _Place.BEFORE:
            chunk = self._seek_data(chunk)
        if self._place is _Place.DATA:
            data, chunk = self._decode(chunk)
        if self._place is _Place.AFTER:
            self._gather(chunk)
        return data

    def end(self) -> BlobId:
        """Return the blob's id, now that the body has ended."""
        self.id = BlobId(self._parse(self._frame, NewBlobBody).id)
        assert self._place is _Place.AFTER, "a body without data was accepted as complete"
        return self.id

    def _seek_data(self, chunk: bytes) -> bytes:
        """Return the part of `chunk` after the quote that opens `data`."""
        before = len(self._frame)
        self._frame += chunk[: MAX_FRAME - before]
        while member := MEMBER.match(self._frame, self._member):
            if _is(member[1], "data"):
                self._frame = self._frame[: member.end()]
                self._enter_data()
                return chunk[member.end() - before :]
            value = REST_OF_STRING.match(self._frame, member.end())
            if value is None:
                break
            self._member = value.end()
        if before + len(chunk) > MAX_FRAME:
            raise self._too_long()
        return b""

    def _enter_data(self) -> None:
        """Refuse a body that is wrong already, before all of `data` is read."""
        blob_id = self._parse(self._frame + b'"}', _BodySoFar).id
        if blob_id is not msgspec.UNSET:
            self.id = BlobId(blob_id)
        self._member = len(self._frame) + 1
        self._place = _Place.DATA

    def _decode(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Return the blob's bytes in `chunk`, and the part of it after `data`, from the closing quote on."""
        text = self._escape + chunk if self._escape else chunk
        end = text.find(b'"')
        if text.find(b"\\", 0, None if end < 0 else end) >= 0:
            return self._decode_escaped(text)
        self._length += len(text) if end < 0 else end
        if end < 0:
            return self._base64_of(text), b""
        return self._base64_of(text[:end], last=True), text[end:]

    def _decode_escaped(self, text: bytes) -> tuple[bytes, bytes]:
        found = TEXT.match(text)
        assert found is not None, "it matches nothing at least"
        end = found.end()
        closed = text[end : end + 1] == b'"'
        data = self._base64_of(_unescaped(found[0]), last=closed)
        self._length += end
        if closed:
            return data, text[end:]
        self._escape = text[end:]
        if self._escape and not BEGUN_ESCAPE.fullmatch(self._escape):
            raise _refused("invalid_json", f"The body is not JSON: data has an escape that is none. Send {EXAMPLE}")
        return data, b""

    def _base64_of(self, text: bytes, *, last: bool = False) -> bytes:
        try:
            data = self._base64.feed(text)
            if last:
                data += self._base64.end()
                self._place = _Place.AFTER
        except base64_text.Base64Error as error:
            raise _refused("invalid_base64", f"data is not standard base64 (RFC 4648, section 4), {error}") from None
        return data

    def _gather(self, chunk: bytes) -> None:
        capacity = MAX_FRAME - len(self._frame)
        self._frame += chunk[:capacity]
        if len(chunk) > capacity:
            raise self._too_long()

    def _parse(self, frame: bytes, shape: type[T]) -> T:
        try:
            # Stops at the first byte that does not fit, so a body of another shape is not built up first.
            body = msgspec.json.decode(frame, type=shape)
            json.loads(frame, object_pairs_hook=_unrepeated)
        except msgspec.ValidationError as error:
            raise _misshapen(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            detail = POSITION.sub(self._position, str(error))
            raise _refused("invalid_json", f"The body is not JSON in UTF-8: {detail}. Send {EXAMPLE}") from None
        return body

    def _position(self, match: re.Match[str]) -> str:
        """A position in the frame as one in the body."""
        position = int(match[1])
        is_after = self._place is _Place.AFTER and position >= self._member
        return f"(byte {position + self._length * is_after})"

    def _too_long(self) -> Exception:
        """The error in a frame that is longer than its limit."""
        try:
            self._parse(self._frame, NewBlobBody)
        except HttpProblem as problem:
            if problem.code == "invalid_body" or POSITION.search(problem.detail):
                return problem
        # So far it is valid, except for its length.
        member = MEMBER.match(self._frame, self._member)
        if member and _is(member[1], "id") and not REST_OF_STRING.match(self._frame, member.end()):
            return _refused(
                "invalid_id", f"The blob id is too long; it may have up to {MAX_ID_BYTES:,} bytes of UTF-8."
            )
        return _misshapen(f"outside of data it has more than {MAX_FRAME:,} bytes")


def scan_whole(body: bytes) -> tuple[BlobId, bytes]:
    """Return the id and the bytes in a whole body. Raises what Scanner raises."""
    plain = _plain(body)
    if plain is not None:
        return plain
    scanner = Scanner()
    data = scanner.feed(body)
    return scanner.end(), data


def _plain(body: bytes) -> tuple[BlobId, bytes] | None:
    """Return what is in a body without errors and without escapes. None for any other: Scanner knows its error.

    The name of a member has two quotes, and so has a string. So with eight of them, no member is repeated.
    """
    if b"\\" in body or body.count(b'"') != 8:
        return None
    try:
        found = msgspec.json.decode(body, type=_PlainBody)
        quoted = memoryview(found.data)
        if quoted[0] != QUOTE:
            return None
        text = bytes(quoted[1:-1])
        decoder = base64_text.Decoder()
        data = decoder.feed(text) + decoder.end()
        blob_id = BlobId(found.id)
    except (msgspec.DecodeError, UnicodeDecodeError, base64_text.Base64Error, InvalidId):
        return None
    return (blob_id, data) if len(body) - len(text) <= MAX_FRAME else None


def least_size(length: int) -> int:
    """How many bytes a blob has at least whose body has `length` bytes."""
    return max((length - MAX_FRAME) // LONGEST // 4 * 3 - 2, 0)


def _unescaped(text: bytes) -> bytes:
    """Return the text with its escapes resolved."""
    if b"\\\\" not in text:
        text = text.replace(b"\\/", b"/")  # some libraries write it so, and this is the fast way
    return ESCAPE.sub(_character, text)


def _character(escape: re.Match[bytes]) -> bytes:
    if escape[1] is None:
        return SHORT_ESCAPES.get(escape[0], escape[0][1:])
    # Half of a surrogate pair, which UTF-8 does not have, is not base64 either.
    return chr(int(escape[1], 16)).encode(errors="surrogatepass")


def _is(key: bytes, name: str) -> bool:
    """Return whether a key, in its quotes, is `name`, which may be spelt with escapes."""
    if b"\\" not in key:
        return key == b'"%b"' % name.encode()
    try:
        return bool(msgspec.json.decode(key) == name)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False  # its own error is reported later


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse repeated members: RFC 8259 leaves their meaning open, and the decoder takes the last."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _misshapen("it has a member more than once")
    return members


def _misshapen(problem: str) -> HttpProblem:
    return _refused("invalid_body", f"The body is not as it should be: {problem}. Send {EXAMPLE}")


def _refused(code: str, detail: str) -> HttpProblem:
    return HttpProblem(code, detail)
