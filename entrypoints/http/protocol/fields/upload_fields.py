"""The fields of resumable uploads (draft-ietf-httpbis-resumable-upload-12, section 4.1), and their problems."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from entrypoints.http.protocol.fields.structured_fields import boolean, natural_number
from entrypoints.http.protocol.problems import HttpProblem

PARTIAL = "application/partial-upload"
INCOMPLETE, COMPLETE = "?0", "?1"
VERSIONS = (6, 8)  # of the drafts -05 and -12, which differ in one key of Upload-Limit
_TYPES = "https://iana.org/assignments/http-problem-types#"


class ProblemType(NamedTuple):
    uri: str
    title: str


MISMATCHING_OFFSET = ProblemType(f"{_TYPES}mismatching-upload-offset", "Mismatching Upload Offset")
INCONSISTENT_LENGTH = ProblemType(f"{_TYPES}inconsistent-upload-length", "Inconsistent Upload Length Values")


@dataclass(frozen=True, slots=True)
class UploadFields:
    """The fields of a request. Each is None if it is missing or malformed, which is the same.

    `version`: the interop version of the draft, if the client names one that is known here.
    """

    is_complete: bool | None
    offset: int | None
    length: int | None
    version: int | None

    def headers(self, *, is_complete: bool) -> dict[str, str]:
        """Return the headers of all responses about an upload."""
        state = {"Upload-Complete": COMPLETE if is_complete else INCOMPLETE}
        return state if self.version is None else state | {"Upload-Draft-Interop-Version": str(self.version)}

    def limit(self, max_size: int, seconds: int | None = None) -> str:
        """Return an Upload-Limit. `seconds`: the time that an upload has left."""
        if seconds is None:
            return f"max-size={max_size}"
        age = "expires" if self.version == VERSIONS[0] else "max-age"
        return f"max-size={max_size}, {age}={max(0, seconds)}"


def upload_fields(headers: Mapping[str, str]) -> UploadFields:
    """Return the fields of a request, by lower-case name. What is malformed is ignored, as the draft says."""
    version = natural_number(headers.get("upload-draft-interop-version"))
    return UploadFields(
        boolean(headers.get("upload-complete")),
        natural_number(headers.get("upload-offset")),
        natural_number(headers.get("upload-length")),
        version if version in VERSIONS else None,
    )


def inconsistent_length(asked: UploadFields) -> HttpProblem:
    """Return the refusal of a request whose lengths differ from each other, or from the length of the upload."""
    return HttpProblem(
        "inconsistent_length",
        type=INCONSISTENT_LENGTH.uri,
        title=INCONSISTENT_LENGTH.title,
        headers=asked.headers(is_complete=False),
    )


def mismatching_offset(asked: UploadFields, detail: str, expected: int, provided: int) -> HttpProblem:
    """Return the refusal of bytes that do not start where the upload ends."""
    return HttpProblem(
        "offset_mismatch",
        detail,
        type=MISMATCHING_OFFSET.uri,
        title=MISMATCHING_OFFSET.title,
        offsets=(expected, provided),
        headers=asked.headers(is_complete=False) | {"Upload-Offset": str(expected)},
    )
