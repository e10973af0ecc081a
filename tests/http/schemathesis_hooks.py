"""What schemathesis can't read out of the document: values of our own formats, and which failures are none."""

import base64
from typing import Any

import schemathesis
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import JsonSchemaError, RejectedPositiveData

from tests.ids import valid_ids

schemathesis.openapi.format("blob-id", valid_ids)
schemathesis.openapi.format("blob-cursor", valid_ids.map(lambda text: base64.urlsafe_b64encode(text.encode()).decode()))

# What a request may come to that is as it should be: it depends on what is stored, and for digests on the body.
FAIR = {"not_found", "already_exists", "precondition_failed", "range_not_satisfiable", "digest_mismatch"}


@schemathesis.hook
def filter_failure(
    context: schemathesis.HookContext, failure: Failure, case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    if isinstance(failure, RejectedPositiveData):
        if case.method == "HEAD":
            return response.status_code not in (404, 412)
        # Of all media types a PUT takes any but that of forms, which the document can't say.
        return (case.method, code := response.json()["code"]) != ("PUT", "unsupported_media_type") and code not in FAIR
    # What is stored may call itself JSON, and is no answer in the JSON form then.
    return not (isinstance(failure, JsonSchemaError) and "content-disposition" in response.headers)
