"""Names of files in a zip file, from ids. Every name stays below the folder in which the file is extracted.

A name is the id without the folder, and in it percent-encoded, as two hexadecimal digits:

- a backslash, and the colon of a drive (`C:`);
- segments of one dot or two;
- a slash at the start, or after another slash;
- a slash at the end, unless the blob is empty: then the name is that of a folder;
- the slash after a part that is a blob itself: with the blobs `a` and `a/b` there is no folder `a`;
- a percent sign before two hexadecimal digits.

Decoding gives the rest of the id, so two ids never have one name. Names that differ only in case are not changed.
"""

import re

FOLDER_ITSELF = "%40"
"""The name of the blob whose id is the folder. No other id has it."""
_ENCODED = re.compile("%(?=[0-9A-Fa-f]{2})")


class Names:
    """Names for ids in the order of their bytes, all of which begin with `folder`: empty, or with a slash at the end.

    Takes memory for those ids only that begin the current one.
    """

    def __init__(self, folder: str) -> None:
        self._start = len(folder)
        self._before = list[str]()

    def name(self, blob_id: str, *, is_empty: bool) -> str:
        """Return the name for the next id. It ends with a slash if it is that of a folder."""
        before = self._before
        while before and not blob_id.startswith(before[-1]):
            before.pop()
        taken = {len(each) - self._start for each in before if blob_id[len(each)] == "/"}
        before.append(blob_id)
        rest = blob_id[self._start :]
        if not rest:
            return FOLDER_ITSELF
        if rest.endswith("/") and not is_empty:
            taken.add(len(rest) - 1)
        return _name(rest, taken)


def _name(rest: str, taken: set[int]) -> str:
    first, *others = rest.split("/")
    name, position, former = _segment(first), len(first), first
    for segment in others:
        slash = "%2F" if position in taken or not former else "/"
        name += slash + _segment(segment)
        position, former = position + 1 + len(segment), segment
    return name


def _segment(segment: str) -> str:
    if segment in (".", ".."):
        return segment.replace(".", "%2E")
    if "%" in segment:
        segment = _ENCODED.sub("%25", segment)
    if segment[1:2] == ":" and segment[0].isascii() and segment[0].isalpha():
        segment = f"{segment[0]}%3A{segment[2:]}"
    return segment.replace("\\", "%5C")
