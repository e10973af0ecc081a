"""The body of a POST as `multipart/form-data`, read as it comes: the bytes of `file` are passed on, never kept."""

from domain.blob import MAX_ID_BYTES, BlobId
from entrypoints.http.protocol.multipart import MAX_HEAD, PLAIN_CODINGS, Event, MultipartError, MultipartParser, Part
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.scanned_bodies import BodyScanner

FIELDS = ("id", "file")
MAX_FRAME = 4 * MAX_HEAD  # bytes of a body next to those of `file`: two heads, three boundaries, an id
SHOWN = 50  # characters of a name
EXAMPLE = "Send it as curl does: -F id=my-blob -F file=@my-file"


class FormScanner(BodyScanner):
    """Scanner of a body in chunks, cut anywhere. `file`: the head of that part, once it was read.

    Raises HttpProblem 400 for a malformed body, and INVALID_ID.
    """

    def __init__(self, boundary: str) -> None:
        self.id: BlobId | None = None
        self.file: Part | None = None
        self._field = ""
        self._text = b""
        self._is_empty = True
        try:
            self._parser = MultipartParser(boundary)
        except MultipartError as error:
            raise _malformed(str(error)) from None

    @property
    def is_in_data(self) -> bool:
        return self.file is not None

    def feed(self, chunk: bytes) -> bytes:
        try:
            return b"".join([self._take(event) for event in self._parser.feed(chunk)])
        except MultipartError as error:
            raise _malformed(str(error)) from None

    def end(self) -> BlobId:
        try:
            self._parser.end()
        except MultipartError as error:
            raise _malformed(str(error)) from None
        if self.file is None or self.id is None:
            raise _malformed(f"it has no field {'id' if self.id is None else 'file'}")
        if self._is_empty and self.file.is_unchosen:
            raise _malformed("no file was chosen")
        return self.id

    def _take(self, event: Event) -> bytes:
        """Return the event's bytes of the file."""
        match event:
            case Part():
                self._begin(event)
            case None:
                self._finish()
            case content if self._field == "file":
                self._is_empty = self._is_empty and not content
                return content
            case content:
                self._text += content
                if len(self._text) > MAX_ID_BYTES:
                    raise _invalid_id(f"is too long; it may have up to {MAX_ID_BYTES:,} bytes of UTF-8")
        return b""

    def _begin(self, part: Part) -> None:
        self._field = part.name
        if self._field not in FIELDS:
            raise _malformed(f"it has an unknown field, {_shown(self._field)!r}")
        if self.id if self._field == "id" else self.file:
            raise _malformed(f"it has the field {self._field} more than once")
        coding = part.coding
        if coding not in PLAIN_CODINGS:
            raise _malformed(f"Content-Transfer-Encoding is {_shown(coding)!r}, and only bytes as they are can be read")
        if self._field == "file":
            self.file = part

    def _finish(self) -> None:
        if self._field == "file":
            return
        try:
            self.id = BlobId(self._text.decode())
        except UnicodeDecodeError as error:
            raise _invalid_id(f"is not UTF-8: byte {error.start} can't be decoded") from None


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _malformed(problem: str) -> HttpProblem:
    detail = f"The body is not multipart/form-data with the fields id and file: {problem}. {EXAMPLE}"
    return HttpProblem("invalid_form", detail)


def _invalid_id(problem: str) -> HttpProblem:
    return HttpProblem("invalid_id", f"The blob id {problem}.")
