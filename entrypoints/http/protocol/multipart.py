"""A parser for multipart bodies (RFC 2046, section 5.1, as RFC 7578 uses it), fed with chunks that are cut anywhere.

Its events do not depend on the cuts. It allows no preamble and no epilogue, which forms do not have, and
keeps no more than the head of one part, or the start of what may be a delimiter.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from entrypoints.http.protocol.fields.header_values import BLANKS, is_token, parameters

MAX_BOUNDARY = 200  # characters; RFC 2046 has 70
MAX_HEAD = 8 * 1024  # bytes of the headers of one part
LINE_BREAK = b"\r\n"
END_OF_HEAD = b"\r\n\r\n"
PLAIN_CODINGS = ("7bit", "8bit", "binary")  # RFC 2045, section 6.2: these change nothing


class MultipartError(ValueError):
    """The body is not multipart, or a part is not one of a form. The text names the problem."""


@dataclass(frozen=True, slots=True)
class Part:
    """The head of a part: its headers by their names in lower case."""

    headers: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the name of the field (RFC 7578, section 4.2). Raises MultipartError."""
        disposition = self.headers.get("content-disposition", "")
        found = parameters(disposition)
        kind = disposition.partition(";")[0].strip(BLANKS).lower()
        if kind != "form-data" or found is None or "name" not in found:
            raise MultipartError('a part has no valid header Content-Disposition: form-data; name="..."')
        return found["name"]

    @property
    def filename(self) -> str:
        """Return the name of the file, empty if there is none."""
        return (parameters(self.headers.get("content-disposition", "")) or {}).get("filename", "")

    @property
    def is_unchosen(self) -> bool:
        """Whether it has an empty name of a file, as browsers send if no file was chosen (HTML, "entry list")."""
        return (parameters(self.headers.get("content-disposition", "")) or {}).get("filename") == ""

    @property
    def coding(self) -> str:
        """Return the Content-Transfer-Encoding. Unless it is one of PLAIN_CODINGS, the content is not as it was."""
        return self.headers.get("content-transfer-encoding", "binary").lower()


class _Place(Enum):
    START = auto()
    DELIMITER = auto()
    HEAD = auto()
    CONTENT = auto()
    END = auto()


Event = Part | bytes | None
"""The head of a part, a chunk of its content, or the end of the part."""


class MultipartParser:
    """The state of one body. `boundary`: as the header Content-Type has it. Raises MultipartError."""

    def __init__(self, boundary: str) -> None:
        if not 0 < len(boundary) <= MAX_BOUNDARY or not (boundary.isascii() and boundary.isprintable()):
            raise MultipartError(f"Content-Type has no boundary of 1 to {MAX_BOUNDARY} visible characters")
        self._delimiter = f"\r\n--{boundary}".encode()
        self._buffer = LINE_BREAK  # the first delimiter comes without one
        self._place = _Place.START

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events known by now. Iterate it to completion before the next chunk."""
        self._buffer += chunk
        while (events := self._step()) is not None:
            yield from events

    def end(self) -> None:
        """Finish the body, which must be complete."""
        if self._place is not _Place.END:
            raise MultipartError("it ends before its last boundary")

    def _step(self) -> Sequence[Event] | None:
        """Return the events of the next step. None if that takes more bytes."""
        match self._place:
            case _Place.START:
                return self._start()
            case _Place.DELIMITER:
                return self._after_delimiter()
            case _Place.HEAD:
                return self._head()
            case _Place.CONTENT:
                return self._content()
            case _Place.END:
                self._check_end()
                return None

    def _start(self) -> Sequence[Event] | None:
        beginning = self._buffer[: len(self._delimiter)]
        if not self._delimiter.startswith(beginning):
            raise MultipartError("it does not begin with the boundary that Content-Type names")
        return self._go_to(_Place.DELIMITER, len(beginning)) if beginning == self._delimiter else None

    def _after_delimiter(self) -> Sequence[Event] | None:
        following = self._buffer[:2]
        if len(following) < 2:
            return None
        if following == b"--":
            return self._go_to(_Place.END, 2)
        if following != LINE_BREAK:
            raise MultipartError("something else than a line break follows a boundary")
        return self._go_to(_Place.HEAD, 0)

    def _head(self) -> Sequence[Event] | None:
        """Parse the head. It begins with the delimiter's line break, so one without headers ends like any other."""
        end = self._buffer.find(END_OF_HEAD)
        if end > MAX_HEAD or (end < 0 and len(self._buffer) >= MAX_HEAD + len(END_OF_HEAD)):
            raise MultipartError(f"the headers of a part have more than {MAX_HEAD:,} bytes")
        if end < 0:
            return None
        head = self._buffer[len(LINE_BREAK) : end]
        return self._go_to(_Place.CONTENT, end + len(END_OF_HEAD), Part(_headers(head)))

    def _content(self) -> Sequence[Event] | None:
        end = self._buffer.find(self._delimiter)
        if end >= 0:
            content = [self._buffer[:end]] if end else []
            return self._go_to(_Place.DELIMITER, end + len(self._delimiter), *content, None)
        end = self._start_of_delimiter()
        return self._go_to(_Place.CONTENT, end, self._buffer[:end]) if end else None

    def _start_of_delimiter(self) -> int:
        """Return the position of an incomplete delimiter. The end of the buffer if there is none."""
        start = self._buffer.rfind(b"\r", -len(self._delimiter))  # it has one only at its beginning
        return start if start >= 0 and self._delimiter.startswith(self._buffer[start:]) else len(self._buffer)

    def _check_end(self) -> None:
        if not LINE_BREAK.startswith(self._buffer):
            raise MultipartError("it goes on after its last boundary")

    def _go_to(self, place: _Place, consumed: int, *events: Event) -> Sequence[Event]:
        self._place = place
        self._buffer = self._buffer[consumed:]
        return events


def _headers(head: bytes) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for line in head.split(LINE_BREAK) if head else ():
        # Names of files may be in any charset; they are not used.
        name, colon, value = line.decode(errors="replace").partition(":")
        if not colon or not is_token(name) or name.lower() in headers or set("\r\n\0") & set(value):
            raise MultipartError("a part has a header that is malformed or repeated")
        headers[name.lower()] = value.strip(BLANKS)
    return headers
