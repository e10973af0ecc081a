"""AWS Signature Version 2: the examples of Amazon, and the signers of botocore as oracles."""

import base64
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import HmacV1Auth, HmacV1PostAuth, HmacV1QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.http.s3.auth.post_policy import check
from entrypoints.http.s3.auth.signatures_v2 import SignatureV2, of_form, parse
from entrypoints.http.s3.errors import S3Error

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials(KEY_ID, SECRET.decode())
THEN = datetime(2007, 3, 27, 19, 36, 42, tzinfo=UTC)
Headers = dict[str, str]


def parsed(
    method: str, resource: str, query: str = "", headers: Headers | None = None, now: datetime = THEN
) -> SignatureV2:
    lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
    found = parse(method, resource.encode(), query.encode(), lines, now)
    assert found is not None
    return found


def refusal(*request: Any, **more: Any) -> S3Error:
    with pytest.raises(S3Error) as raised:
        parsed(*request, **more)
    return raised.value


# Amazon S3 Developer Guide (API Version 2006-03-01), Signing and Authenticating REST Requests, Examples.
EXAMPLES = {
    "GET": (
        "GET",
        "/awsexamplebucket1/photos/puppy.jpg",
        "",
        {"Date": "Tue, 27 Mar 2007 19:36:42 +0000", "Authorization": f"AWS {KEY_ID}:qgk2+6Sv9/oM7G3qLEjTH1a1l1g="},
    ),
    "PUT": (
        "PUT",
        "/awsexamplebucket1/photos/puppy.jpg",
        "",
        {
            "Content-Type": "image/jpeg",
            "Content-Length": "94328",
            "Date": "Tue, 27 Mar 2007 21:15:45 +0000",
            "Authorization": f"AWS {KEY_ID}:iqRzw+ileNPu1fhspnRs8nOjjIA=",
        },
    ),
    "list": (
        "GET",
        "/awsexamplebucket1/",
        "prefix=photos&max-keys=50&marker=puppy",
        {
            "User-Agent": "Mozilla/5.0",
            "Date": "Tue, 27 Mar 2007 19:42:41 +0000",
            "Authorization": f"AWS {KEY_ID}:m0WP8eCtspQl5Ahe6L1SozdX9YA=",
        },
    ),
    "ACL": (
        "GET",
        "/awsexamplebucket1/",
        "acl",
        {"Date": "Tue, 27 Mar 2007 19:44:46 +0000", "Authorization": f"AWS {KEY_ID}:82ZHiFIjc+WbcwFKGUVEQspPn+0="},
    ),
    "presigned": (
        "GET",
        "/johnsmith/photos/puppy.jpg",
        f"AWSAccessKeyId={KEY_ID}&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620",
        {},
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_amazon(name: str) -> None:
    method, resource, query, headers = EXAMPLES[name]
    now = datetime(2007, 3, 27, 21, 20, tzinfo=UTC) if name == "PUT" else THEN
    found = parsed(method, resource, query, headers, now)
    assert found.key_id == KEY_ID
    assert found.is_valid(SECRET), found.strings_to_sign
    assert not found.is_valid(SECRET + b"x")
    assert found.is_presigned is (name == "presigned")


names = st.sampled_from(["x-amz-meta-a", "X-Amz-Acl", "x-amz-meta-b", "Content-Type", "Content-MD5"])
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=10)
keys = st.lists(st.sampled_from(["a", "/", "%20", "%2F", "..", "~", "%C3%A4"]), max_size=6).map("".join)


@given(st.sampled_from(["GET", "PUT", "DELETE"]), keys, st.dictionaries(names, values), st.sampled_from(["", "acl"]))
def test_headers_that_botocore_signs(method: str, key: str, headers: Headers, query: str) -> None:
    request = AWSRequest(method, f"http://h/bucket/{key}{query and f'?{query}'}", headers=headers)
    HmacV1Auth(CREDENTIALS).add_auth(request)
    sent = dict(request.headers.items())
    found = parsed(method, f"/bucket/{key}", query, sent, datetime.now(UTC))
    assert found.is_valid(SECRET)
    # Whoever changes anything of it needs another signature.
    for other in (("POST", f"/bucket/{key}"), (method, f"/bucket/{key}x"), (method, f"/other/{key}")):
        assert not parsed(*other, query, sent, datetime.now(UTC)).is_valid(SECRET)
    more = sent | {"x-amz-meta-c": "1"}
    assert not parsed(method, f"/bucket/{key}", query, more, datetime.now(UTC)).is_valid(SECRET)
    assert not parsed(method, f"/bucket/{key}", "uploads", sent, datetime.now(UTC)).is_valid(SECRET)


@given(keys, st.sampled_from(["", "versionId=null&", "response-content-type=text%2Fplain%3B+a%26b&"]))
def test_urls_that_botocore_signs(key: str, query: str) -> None:
    request = AWSRequest("GET", f"http://h/bucket/{key}?{query}", headers={})
    HmacV1QueryAuth(CREDENTIALS, expires=60).add_auth(request)
    assert isinstance(request.url, str)
    signed = urlsplit(request.url).query.replace("+", "%20") if "+" in query else urlsplit(request.url).query
    found = parsed("GET", f"/bucket/{key}", signed, {}, datetime.now(UTC))
    assert found.is_presigned
    if "+" not in query:  # botocore takes it for itself, and servers for a space
        assert found.is_valid(SECRET)
    assert not parsed("GET", f"/bucket/{key}", signed.replace("Expires=1", "Expires=2"), {}).is_valid(SECRET)


def test_the_name_of_a_bucket_may_be_signed_with_a_slash() -> None:
    for signed_path in ("/bucket", "/bucket/"):
        request = AWSRequest("GET", "http://h/bucket", auth_path=signed_path)
        HmacV1Auth(CREDENTIALS).add_auth(request)
        headers = dict(request.headers.items())
        assert parsed("GET", "/bucket", "", headers, datetime.now(UTC)).is_valid(SECRET)
        assert not parsed("GET", "/bucket/key", "", headers, datetime.now(UTC)).is_valid(SECRET)


def presigned(query: str = "", seconds: int = 60) -> str:
    request = AWSRequest("GET", f"http://h/bucket/key?{query}", headers={})
    HmacV1QueryAuth(CREDENTIALS, expires=seconds).add_auth(request)
    return urlsplit(str(request.url)).query


def test_a_url_expires() -> None:
    url, now = presigned(), datetime.now(UTC)
    assert parsed("GET", "/bucket/key", url, now=now).is_valid(SECRET)
    assert refusal("GET", "/bucket/key", url, now=now + timedelta(seconds=61)).code == "AccessDenied"


@pytest.mark.parametrize("parameter", ["prefix=a", "list-type=2", "attributes", "renameObject", "session"])
def test_a_url_has_no_parameters_that_its_signature_does_not_cover(parameter: str) -> None:
    error = refusal("GET", "/bucket/key", f"{parameter}&{presigned()}")
    assert (error.code, error.fields["ParametersNotSigned"]) == ("AccessDenied", parameter.partition("=")[0])


def test_the_value_of_one_parameter_does_not_pass_for_two() -> None:
    # The same text is signed for one value with `&uploads`, and for two parameters.
    honest = presigned("response-content-disposition=a%26uploads")
    assert parsed("GET", "/bucket/key", honest, now=datetime.now(UTC)).is_valid(SECRET)
    split = honest.replace("a%26uploads", "a&uploads")
    assert refusal("GET", "/bucket/key", split, now=datetime.now(UTC)).code == "AccessDenied"


@pytest.mark.parametrize("query", ["partNumber=1&uploadId=U", "uploadId=U&versionId=null"])
def test_two_parameters_do_not_pass_for_the_value_of_one(query: str) -> None:
    honest = presigned(query)
    assert parsed("GET", "/bucket/key", honest, now=datetime.now(UTC)).is_valid(SECRET)
    joined = honest.replace(query, query.replace("&", "%26"))
    assert refusal("GET", "/bucket/key", joined, now=datetime.now(UTC)).code == "AccessDenied"


@pytest.mark.parametrize("time", ["Tue, 27 Mar 2007 19:21:41 +0000", "Tue, 27 Mar 2007 19:51:43 +0000"])
def test_the_clocks_have_to_agree(time: str) -> None:
    assert refusal(*EXAMPLES["GET"][:3], EXAMPLES["GET"][3] | {"Date": time}).code == "RequestTimeTooSkewed"


@pytest.mark.parametrize("time", ["Tue, 27 Mar 2007 19:36:00 GMT", "20070327T193600Z"])
def test_the_date_may_be_in_another_header(time: str) -> None:
    headers = {
        "x-amz-date": time,
        "Date": "Thu, 01 Jan 1970 00:00:00 GMT",
        "Authorization": EXAMPLES["GET"][3]["Authorization"],
    }
    found = parsed(*EXAMPLES["GET"][:3], headers)
    assert found.strings_to_sign == (b"GET\n\n\n\nx-amz-date:%b\n/awsexamplebucket1/photos/puppy.jpg" % time.encode(),)
    late = headers | {"x-amz-date": "Tue, 07 Jul 2030 21:53:04 GMT"}
    assert refusal(*EXAMPLES["GET"][:3], late).code == "RequestTimeTooSkewed"
    before_all = headers | {"x-amz-date": "Tue, 07 Jul 1950 21:53:04 GMT"}
    assert refusal(*EXAMPLES["GET"][:3], before_all).code == "AccessDenied"


@pytest.mark.parametrize("header", ["AWS HAHAHA", "AWS a:b", f"AWS {KEY_ID}:", "AWS :qgk2+6Sv9/oM7G3qLEjTH1a1l1g="])
def test_a_malformed_header_is_refused(header: str) -> None:
    assert refusal(*EXAMPLES["GET"][:3], {"Authorization": header}).code == "InvalidArgument"


@pytest.mark.parametrize(
    "query",
    [
        f"AWSAccessKeyId={KEY_ID}&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D",
        f"AWSAccessKeyId={KEY_ID}&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=x",
        f"AWSAccessKeyId={KEY_ID}&Signature=a&Expires=1175139620",
        "Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620",
    ],
)
def test_a_malformed_query_is_refused(query: str) -> None:
    assert refusal("GET", "/bucket/key", query).code == "AccessDenied"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {}),
        ("prefix=a&Expires=1", {}),
        ("", {"Authorization": "AWS4-HMAC-SHA256 Credential=a"}),
        ("", {"Authorization": "Bearer a"}),
        (EXAMPLES["presigned"][2], EXAMPLES["GET"][3]),
        (f"{EXAMPLES['presigned'][2]}&X-Amz-Signature=a", {}),
        (f"{EXAMPLES['presigned'][2]}&x-amz-security-token=a", {}),
        ("", EXAMPLES["GET"][3] | {"x-amz-security-token": "a"}),
    ],
)
def test_other_credentials_are_left_to_version_4(query: str, headers: Headers) -> None:
    lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    assert parse("GET", b"/bucket/key", query.encode(), lines, THEN) is None


def form(**changed: str) -> dict[str, str]:
    """Return a form that botocore has signed."""
    request = AWSRequest("POST", "http://h/bucket")
    conditions: list[Any] = [{"bucket": "bucket"}, ["starts-with", "$key", ""]]
    policy = {"expiration": "2026-01-01T00:00:00Z", "conditions": conditions}
    request.context.update({"s3-presign-post-fields": {}, "s3-presign-post-policy": policy})
    HmacV1PostAuth(CREDENTIALS).add_auth(request)
    fields = {name.lower(): value for name, value in request.context["s3-presign-post-fields"].items()}
    return fields | {"key": "a"} | changed


def test_forms_that_botocore_signs() -> None:
    found = check(form(), THEN, bucket="bucket", version_2=True)
    assert found is not None
    assert found.version_2 is not None
    assert (found.key_id, found.version_2.is_valid(SECRET)) == (KEY_ID, True)
    assert found.mismatch().fields["SignatureProvided"] == found.version_2.signature
    policy = {"expiration": "2027-01-01T00:00:00Z", "conditions": [["starts-with", "$key", ""], {"bucket": "bucket"}]}
    other = form(policy=base64.b64encode(json.dumps(policy).encode()).decode())
    changed = check(other, THEN, bucket="bucket", version_2=True)
    assert changed is not None
    assert changed.version_2 is not None
    assert not changed.version_2.is_valid(SECRET)
    for version_2 in (True, False):
        with pytest.raises(S3Error) as raised:
            check(form(acl="private") if version_2 else form(), THEN, bucket="bucket", version_2=version_2)
        assert raised.value.code == "AccessDenied"


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"signature": "a"}, "SignatureDoesNotMatch"), ({"awsaccesskeyid": "a b"}, "InvalidAccessKeyId")],
)
def test_malformed_fields_are_refused(changed: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error) as raised:
        of_form(form(**changed))
    assert raised.value.code == code


def test_a_signature_is_that_of_the_text() -> None:
    made = base64.b64encode(hmac.digest(SECRET, b"text", "sha1")).decode()
    assert SignatureV2(KEY_ID, made, (b"text",)).is_valid(SECRET)
    assert not SignatureV2(KEY_ID, made, (b"test",)).is_valid(SECRET)
