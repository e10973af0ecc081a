"""The parameters of requests to S3: handlers see the values that the signature covers."""

import pytest

from entrypoints.http.s3.auth.signatures import query_parameters
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.request import query_values


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"&&", {}),
        (b"uploads", {"uploads": ""}),
        (b"prefix=a+b%2Bc%20d&x=", {"prefix": "a b+c d", "x": ""}),
        (b"prefix=%C3%BC", {"prefix": "ü"}),
        (b"prefix=\xc3\xbc", {"prefix": "ü"}),
        (b"prefix=%FF", {"prefix": "\ufffd"}),
        (b"a%3Db=c=d%26", {"a=b": "c=d&"}),
    ],
)
def test_parameters_are_decoded_once(query: bytes, expected: dict[str, str]) -> None:
    assert query_values(query_parameters(query)) == expected


@pytest.mark.parametrize("query", [b"uploadId=1&uploadId=2", b"uploadId=1&upload%49d=1", b"a&x=1&b=2&x="])
def test_a_parameter_that_is_there_twice_is_refused(query: bytes) -> None:
    with pytest.raises(S3Error) as refused:
        query_values(query_parameters(query))
    assert refused.value.code == "InvalidArgument"
    assert refused.value.fields["ArgumentName"] in ("uploadId", "x")
