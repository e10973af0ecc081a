"""Each operation of S3, as Amazon's own library names it, is taken for itself, or is refused."""

from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest

from domain.access import NOBODY
from entrypoints.http.s3.operations import operation_of
from entrypoints.http.s3.request import S3Request

MODEL: Any = botocore.session.Session().get_service_model("s3")
REFUSED = {"NotImplemented", "MethodNotAllowed"}
# Several names of one request, or one name here for several.
ALSO = {
    "GetBucketLifecycleConfiguration": "GetBucketLifecycle",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetObjectAnnotation": "ListObjectAnnotations",
    "ListDirectoryBuckets": "ListBuckets",
    **{
        f"DeleteBucket{name}": "DeleteBucketConfiguration"
        for name in ("Policy", "Lifecycle", "Encryption", "Website", "Replication")
    },
}


def request(method: str, path: str, query: dict[str, str], headers: dict[str, str]) -> S3Request:
    bucket, _, key = path.strip("/").partition("/")
    exchange: Any = SimpleNamespace(scope={"method": method})
    use_cases: Any = None
    return S3Request(exchange, use_cases, bucket, key, query, headers, NOBODY)


def as_sent(name: str) -> S3Request:
    """Return the request of an operation, with all that it requires."""
    operation = MODEL.operation_model(name)
    path, _, query_string = operation.http["requestUri"].partition("?")
    query = {each.partition("=")[0]: each.partition("=")[2] for each in query_string.split("&") if each}
    headers = {}
    shape = operation.input_shape
    for member in [] if shape is None else shape.required_members:
        described = shape.members[member].serialization
        if described.get("location") == "querystring":
            query[described["name"]] = "1"
        if described.get("location") == "header":
            headers[described["name"].lower()] = "1"
    path = path.replace("{Bucket}", "films").replace("{Key+}", "a")
    return request(operation.http["method"], path, query, headers)


@pytest.mark.parametrize("name", [each for each in MODEL.operation_names if each != "WriteGetObjectResponse"])
def test_none_is_taken_for_another_one(name: str) -> None:
    assert operation_of(as_sent(name)).name in {name, ALSO.get(name, name)} | REFUSED


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/films", "/films/a"])
def test_one_that_is_newer_changes_nothing(method: str, path: str) -> None:
    assert operation_of(request(method, path, {"newest": "", "name": "x"}, {})).name == "NotImplemented"


def test_a_parameter_with_a_value_names_none() -> None:
    assert operation_of(request("PUT", "/films/a", {"x-id": "PutObject", "trace": "1"}, {})).name == "PutObject"
    assert operation_of(request("DELETE", "/films/a", {"versionId": ""}, {})).name == "DeleteObject"
