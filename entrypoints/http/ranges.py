"""Range requests (RFC 9110, section 14): one range of bytes. Several, and other units, are answered with the whole."""

import re
from http import HTTPStatus

from domain.blob import ByteRange
from entrypoints.http.problems import HttpProblem

ONE_RANGE = re.compile(r"bytes\s*=\s*(\d{0,30})\s*-\s*(\d{0,30})\s*", re.IGNORECASE | re.ASCII)


def wanted(header: str | None, size: int) -> ByteRange | None:
    """The part of `size` bytes that is asked for; None is the whole. Raises HttpProblem 416."""
    found = ONE_RANGE.fullmatch(header or "")
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        return ByteRange(size - length, size) if length else _refuse(size)
    first, last = int(found[1]), int(found[2]) if found[2] else size
    if last < first and found[2]:
        return None
    return ByteRange(first, min(last + 1, size)) if first < size else _refuse(size)


def content_range(part: ByteRange, size: int) -> str:
    return f"bytes {part.start}-{part.stop - 1}/{size}"


def _refuse(size: int) -> ByteRange:
    detail = f"The range lies behind the end: there are {size:,} bytes."
    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    raise HttpProblem(status, "range_not_satisfiable", detail, headers={"Content-Range": f"bytes */{size}"})
