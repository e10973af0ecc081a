"""What schemathesis can't read out of the document: values of our own formats, and which failures are none."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from string import ascii_lowercase
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData, Failure, MalformedJson
from schemathesis.generation import GenerationMode
from schemathesis.openapi.checks import JsonSchemaError, RejectedPositiveData

from domain.errors import InvalidExpiry
from tests.ids import valid_ids


def cursor(position: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=64)
names = st.text(ascii_lowercase, min_size=1, max_size=8)
# The value of a parameter: in quotes, or without.
values = st.from_regex(r'"[ !#-~]{0,16}"|[!#-:<-~]{1,16}', fullmatch=True)
kinds = st.sampled_from(["inline", "attachment", "x"])
dispositions = st.tuples(kinds, st.dictionaries(names, values, max_size=3)).map(
    lambda parts: "; ".join([parts[0], *(f"{name}={value}" for name, value in parts[1].items())])
)
zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))) | st.just(UTC)
uploads = st.tuples(st.just("") | valid_ids, st.from_regex("[0-9a-f]{32}", fullmatch=True))
keys = st.from_regex("[a-z2-7]{16}", fullmatch=True)
versions = st.tuples(valid_ids, st.integers(0, 10**18 - 1).map(str))

schemathesis.openapi.format("blob-id", valid_ids)
schemathesis.openapi.format("blob-cursor", valid_ids.map(lambda text: base64.urlsafe_b64encode(text.encode()).decode()))
schemathesis.openapi.format("upload-cursor", uploads.map(cursor))
schemathesis.openapi.format("trash-cursor", versions.map(cursor))
schemathesis.openapi.format("key-cursor", keys.map(lambda key: cursor(["", key])))
schemathesis.openapi.format("content-disposition", dispositions)
schemathesis.openapi.format("percent-encoded", texts.map(quote))
# A request has a time only to let a blob end then.
schemathesis.openapi.format(
    "date-time",
    st.datetimes(datetime(2100, 1, 1), datetime(2900, 1, 1), timezones=zones).map(datetime.isoformat),
)

# What a request may come to that is as it should be: it depends on what is stored, and for digests on the body.
FAIR = {
    *("not_found", "already_exists", "precondition_failed", "range_not_satisfiable", "digest_mismatch"),
    *("upload_not_found", "not_in_trash", "key_not_found", "share_not_found", "inconsistent_length"),
}
# The same of single operations. That two ids differ, or that numbers ascend, no schema can say; and the largest blob is
# a setting.
FAIR_OF = {
    "POST /v1/copy": {"same_id"},
    "POST /v1/move": {"same_id"},
    "POST /v1/commits": {"same_id", "invalid_commit", "invalid_parts", "part_in_progress"},
    "POST /v1/keys": {"invalid_key"},
    # A link may have a password, or be of the other kind.
    "GET /s/{link}": {"share_locked", "method_not_allowed"},
    "PUT /s/{link}": {"share_locked", "method_not_allowed"},
    "POST /s/{link}": {"method_not_allowed"},
    "POST /v1/uploads": {"too_large"},
    "PUT /v1/uploads/{upload}/{n}": {"invalid_parts"},
    "PATCH /v1/uploads/{upload}": {"offset_mismatch", "invalid_parts"},
}
HIDDEN = "3b9e21c40d"
"""In the ids and the bytes of all blobs that a limited key must not know."""
UNKNOWN_HEADER = "x-schemathesis-unknown-property"
EXCLUSIVE = {"X-Expires-In", "X-Expires-At"}


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    if isinstance(failure, RejectedPositiveData):
        if case.method == "HEAD":
            named = response.status_code == 400 and "filename" in (case.query or {})  # which goes only with the bytes
            of_links = (401, 405) if case.operation.label == "HEAD /s/{link}" else ()
            return not named and response.status_code not in (404, 412, *of_links)
        return not is_fair(case, response.json())
    # Any request may have headers that nobody knows (RFC 9110, section 5.1).
    if isinstance(failure, AcceptedNegativeData) and UNKNOWN_HEADER in case.headers:
        return False
    # The bytes of an upload may be of any media type, JSON too, and need not be JSON.
    begins = case.operation.label == "POST /v1/uploads" and "Upload-Complete" in case.headers
    if isinstance(failure, AcceptedNegativeData) and begins:
        return "Invalid component: in body" not in failure.message
    # In a form all values are texts.
    if isinstance(failure, AcceptedNegativeData) and case.media_type == "application/x-www-form-urlencoded":
        return False
    # What is stored may call itself JSON, and is no answer in the JSON form then.
    return not (isinstance(failure, JsonSchemaError | MalformedJson) and "content-disposition" in response.headers)


def is_fair(case: schemathesis.Case[Any], problem: dict[str, Any]) -> bool:
    """Whether a request that the document allows may be refused so."""
    code = problem["code"]
    if code in FAIR or code in FAIR_OF.get(case.operation.label, ()):
        return True
    # Of all media types a PUT takes any but that of forms, which the document can't say; and an upload that begins with
    # JSON has no Content-Encoding, unless it begins with its bytes.
    if code == "unsupported_media_type":
        return bool(case.operation.label in ("PUT /v1/blobs/{id}", "POST /v1/uploads"))
    # The ids that blobs would get depend on those that they have.
    if code == "invalid_id":
        return isinstance(case.body, dict) and "from_prefix" in case.body
    # The name of a download goes only with the bytes, the id of an upload only with these, and a zip file has no pages.
    if code == "invalid_parameter":
        beginnings = ("filename is for the bytes", "id goes with Upload-Complete", "A zip file has all blobs")
        return bool(problem["detail"].startswith(beginnings))
    # In JSON Schema 1.0 is an integer. A folder is where the ids begin.
    if code == "invalid_body":
        return "got `float`" in problem["detail"] or problem["detail"].startswith("folder is ")
    # A time may be that of an earlier response, and is past now.
    return code == "invalid_expiry" and bool(problem["detail"] == InvalidExpiry.text)


@schemathesis.check
def reveals_nothing(context: schemathesis.CheckContext, response: schemathesis.Response, case: Any) -> None:
    """Fail if a response has anything of the blobs that a limited key must not know."""
    assert HIDDEN.encode() not in response.content, "the response has a part of a hidden blob"
    assert HIDDEN not in str(response.headers), "the response has a part of a hidden id"


@schemathesis.hook
def map_case(context: schemathesis.HookContext, case: schemathesis.Case[Any]) -> schemathesis.Case[Any]:
    """Leave one of two headers that exclude each other, which the document can't say."""
    if case.meta and case.meta.generation.mode is GenerationMode.POSITIVE and {*case.headers} >= EXCLUSIVE:
        del case.headers["X-Expires-At" if case.headers["X-Expires-In"] == "1" else "X-Expires-In"]
    return case
