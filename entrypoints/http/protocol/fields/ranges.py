"""Range requests (RFC 9110, section 14): one range of bytes. Several ranges and other units get the whole blob."""

from domain.blob import ByteRange
from entrypoints.http.protocol.fields.header_values import BLANKS, MAX_SIZE, is_digits
from entrypoints.http.protocol.problems import HttpProblem

MAX_DIGITS = 30


def requested(header: str, size: int) -> ByteRange | None:
    """Return the requested part of `size` bytes; None is the whole. Raises HttpProblem 416."""
    start, stop = _ends(header)
    if start is None:
        return None if stop is None else _suffix(stop, size)
    if stop is not None and stop < start:
        return None
    last = size if stop is None else stop
    return ByteRange(start, min(last + 1, size)) if start < size else _refuse(size)


def _suffix(length: int, size: int) -> ByteRange:
    length = min(length, size)
    return ByteRange(size - length, size) if length else _refuse(size)


def _ends(header: str) -> tuple[int | None, int | None]:
    """Return the numbers in `bytes=0-9`, either of which may be missing. Both are None unless it is one range."""
    if len(header) > MAX_SIZE:
        return None, None
    unit, _, range_set = header.partition("=")
    first, dash, last = range_set.partition("-")
    ends = [end.strip(BLANKS) for end in (first, last)]
    if unit.strip(BLANKS).lower() != "bytes" or not dash or not all(map(_is_end, ends)):
        return None, None
    start, stop = (int(end) if end else None for end in ends)
    return start, stop


def _is_end(text: str) -> bool:
    return text == "" or (len(text) <= MAX_DIGITS and is_digits(text))


def content_range(part: ByteRange, size: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size}"


def _refuse(size: int) -> ByteRange:
    detail = f"The range starts after the end of the blob, which has {size:,} bytes."
    raise HttpProblem("range_not_satisfiable", detail, headers={"Content-Range": f"bytes */{size}"})
