"""Policies of browser forms: Amazon's example, botocore as an oracle, and each rule."""

import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import S3SigV4PostAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from entrypoints.http.s3.auth.post_policy import PostPolicy, check, with_filename
from entrypoints.http.s3.auth.signing_keys import is_valid, signing_key
from entrypoints.http.s3.errors import S3Error

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2015, 12, 29, tzinfo=UTC)
# Amazon S3 API Reference: Browser-Based Upload using HTTP POST (Using AWS Signature Version 4).
EXAMPLE = (
    "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NG"
    "V4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVh"
    "ZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2"
    "Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1t"
    "ZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWy"
    "JzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1Q"
    "TEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifS"
    "wNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
)
SIGNATURE = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"
CLAIM = {
    "x-amz-algorithm": "AWS4-HMAC-SHA256",
    "x-amz-credential": f"{KEY_ID}/20151229/us-east-1/s3/aws4_request",
    "x-amz-date": "20151229T000000Z",
}
CONDITIONS: list[Any] = [
    {"bucket": "bucket"},
    ["starts-with", "$key", "foo"],
    {"acl": "private"},
    ["starts-with", "$Content-Type", "text/plain"],
    ["content-length-range", 0, 1024],
    *({name: value} for name, value in CLAIM.items()),
]
FIELDS = {"key": "foo.txt", "acl": "private", "content-type": "text/plain"} | CLAIM | {"x-amz-signature": "0" * 64}
EXPIRATION = "2015-12-29T01:00:00Z"


def encoded(document: object) -> str:
    return base64.b64encode(json.dumps(document).encode()).decode()


def form(conditions: object = CONDITIONS, expiration: object = EXPIRATION, **fields: str | None) -> dict[str, str]:
    """Return a form with a policy; a field that is None is left out."""
    policy = encoded({"expiration": expiration, "conditions": conditions})
    changes = {name.replace("_", "-"): value for name, value in fields.items()}
    return {name: value for name, value in ({**FIELDS, "policy": policy} | changes).items() if value is not None}


def checked(fields: dict[str, str], now: datetime = NOW) -> PostPolicy:
    found = check(fields, now, bucket="bucket")
    assert found is not None
    return found


def refusal(fields: dict[str, str], now: datetime = NOW) -> S3Error:
    with pytest.raises(S3Error) as caught:
        check(fields, now, bucket="bucket")
    return caught.value


def test_the_example_of_the_documentation_is_valid() -> None:
    fields = {
        "key": "user/user1/photo",
        "acl": "public-read",
        "success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
        "content-type": "image/jpeg",
        "x-amz-meta-uuid": "14365123651274",
        "x-amz-server-side-encryption": "AES256",
        "x-amz-meta-tag": "",
        "policy": EXAMPLE,
        "x-amz-signature": SIGNATURE,
        **CLAIM,
    }
    policy = check(fields, NOW, bucket="sigv4examplebucket")
    assert policy is not None
    assert (policy.key_id, policy.date, policy.region) == (KEY_ID, "20151229", "us-east-1")
    assert policy.expires_at == datetime(2015, 12, 30, 12, tzinfo=UTC)
    assert is_valid(policy, signing_key(SECRET.encode(), "20151229", "us-east-1"))
    assert not is_valid(policy, signing_key(SECRET.encode(), "20151230", "us-east-1"))
    assert policy.mismatch().fields["StringToSign"] == EXAMPLE
    for name in ("acl", "content-type", "x-amz-meta-uuid"):
        with pytest.raises(S3Error, match="Policy Condition failed"):
            check(fields | {name: "other"}, NOW, bucket="sigv4examplebucket")


def test_a_policy_that_is_altered_anywhere_has_no_valid_signature() -> None:
    fields, key = form(), signing_key(SECRET.encode(), "20151229", "us-east-1")
    signature = hmac.digest(key, fields["policy"].encode(), "sha256").hex()
    assert is_valid(checked(fields | {"x-amz-signature": signature}), key)
    for place, character in enumerate(fields["policy"]):
        for other in {"A", "z", "=", " "} - {character}:
            altered = f"{fields['policy'][:place]}{other}{fields['policy'][place + 1 :]}"
            try:
                policy = checked(fields | {"x-amz-signature": signature, "policy": altered})
            except S3Error:
                continue
            assert not is_valid(policy, key)


def test_forms_of_botocore_are_valid() -> None:
    request = AWSRequest("POST", "http://storage.example/bucket")
    expiration = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    conditions: list[Any] = [{"bucket": "bucket"}, ["starts-with", "$key", "ü/"], ["content-length-range", 1, 9]]
    request.context["s3-presign-post-policy"] = {"expiration": expiration, "conditions": conditions}
    S3SigV4PostAuth(Credentials(KEY_ID, SECRET), "s3", "eu-central-1").add_auth(request)
    fields = {name.lower(): value for name, value in request.context["s3-presign-post-fields"].items()}
    policy = checked(fields | {"key": "ü/a"}, datetime.now(UTC))
    assert is_valid(policy, signing_key(SECRET.encode(), policy.date, "eu-central-1"))
    assert (policy.min_size, policy.max_size) == (1, 9)


def test_a_form_without_a_credential_is_anonymous() -> None:
    assert check({"key": "foo.txt", "acl": "public-read", "content-type": "text/plain"}, NOW, bucket="bucket") is None


def test_names_of_fields_and_operators_have_no_case() -> None:
    conditions = [
        {"bUcKeT": "bucket"},
        ["StArTs-WiTh", "$KeY", "foo"],
        {"AcL": "private"},
        ["EQ", "$Content-TYPE", "text/plain"],
        ["Content-Length-Range", 0, 5],
        *CONDITIONS[5:],
    ]
    assert checked(form(conditions)).max_size == 5


def test_values_are_compared_as_they_are() -> None:
    assert refusal(form(acl="Private")).code == "AccessDenied"
    assert refusal(form(key="Foo")).code == "AccessDenied"
    assert refusal(form(key="a/foo")).code == "AccessDenied"


def test_the_escapes_of_policies() -> None:
    # JSON has no \$ and no \v. A backslash that is itself escaped stays.
    text = json.dumps({"expiration": EXPIRATION, "conditions": [["eq", "$key", "KEY"], *CONDITIONS]})
    for escaped, key in ((r"foo\$\v", "foo$\v"), (r"foo\\$", r"foo\$"), (r"foo\u00fc\n", "fooü\n")):
        policy = base64.b64encode(text.replace("KEY", escaped).encode()).decode()
        assert checked(form(policy=policy, key=key)).key_id == KEY_ID


def test_base64_may_have_lines() -> None:
    text = form()["policy"]
    lines = "\r\n".join(text[start : start + 76] for start in range(0, len(text), 76))
    assert checked(form(policy=lines)).string_to_sign == lines.encode()


def test_some_fields_need_no_condition() -> None:
    assert (
        checked(form(x_ignore_a="1", x_amz_checksum_sha256="x", file="x", signature="x", awsaccesskeyid="x")).key_id
        == KEY_ID
    )


@pytest.mark.parametrize(
    "name",
    ["x-amz-meta-foo", "tagging", "success_action_status", "content-encoding", "x-amz-acl", "ignore", "x-ignore"],
)
def test_other_fields_need_one(name: str) -> None:
    error = refusal(form() | {name: "a"})
    assert (error.code, error.status) == ("AccessDenied", 403)
    assert error.message == f"Invalid according to Policy: Extra input fields: {name}"


def test_the_bucket_needs_a_condition_which_is_about_the_address() -> None:
    assert refusal(form(CONDITIONS[1:])).message.endswith("Extra input fields: bucket")
    with pytest.raises(S3Error, match="Policy Condition failed"):
        check(form(), NOW, bucket="other")
    with pytest.raises(S3Error, match="names another bucket"):
        check(form(bucket="bucket"), NOW, bucket="other")
    assert checked(form(bucket="bucket")).key_id == KEY_ID


def test_a_condition_needs_its_field() -> None:
    for condition in (["starts-with", "$x-amz-meta-foo", ""], {"x-amz-meta-foo": ""}):
        assert refusal(form([*CONDITIONS, condition])).code == "AccessDenied"
        assert checked(form([*CONDITIONS, condition], x_amz_meta_foo="")).key_id == KEY_ID


def test_all_of_several_content_types_must_begin_so() -> None:
    assert checked(form(content_type="text/plain, text/plain;a=b")).key_id == KEY_ID
    assert refusal(form(content_type="text/plain, text/html")).code == "AccessDenied"


def test_all_conditions_of_one_field_must_hold() -> None:
    assert checked(form([*CONDITIONS, {"key": "foo.txt"}])).key_id == KEY_ID
    assert refusal(form([*CONDITIONS, {"key": "foo"}])).code == "AccessDenied"


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], (0, None)),
        ([[5, 10]], (5, 10)),
        ([["5", "10"]], (5, 10)),
        ([[0, 10], [3, 20]], (3, 10)),
        ([[3, 20], [0, 10]], (3, 10)),
        ([[0, 0]], (0, 0)),
    ],
)
def test_the_range_of_sizes(ranges: list[list[Any]], expected: tuple[int, int | None]) -> None:
    conditions = [each for each in CONDITIONS if "content-length-range" not in each]
    policy = checked(form([*conditions, *(["content-length-range", *each] for each in ranges)]))
    assert (policy.min_size, policy.max_size) == expected


def test_files_outside_the_range_are_refused() -> None:
    policy = checked(form([*CONDITIONS, ["content-length-range", 2, 3]]))
    policy.check_size(2)
    policy.check_size(3)
    for size, code in ((1, "EntityTooSmall"), (4, "EntityTooLarge")):
        with pytest.raises(S3Error) as caught:
            policy.check_size(size)
        assert (caught.value.code, caught.value.status) == (code, 400)


@pytest.mark.parametrize(
    "expiration",
    [
        None,
        5,
        "",
        "2015-12-29 01:00:00+00:00",
        "2015-12-29T01:00:00",
        "2015-12-29T01:00:00+01:00",
        "2015-13-29T01:00:00Z",
    ],
)
def test_malformed_expirations_are_refused(expiration: object) -> None:
    error = refusal(form(expiration=expiration))
    assert (error.code, error.status) == ("InvalidPolicyDocument", 400)


def test_policies_expire() -> None:
    end = datetime(2015, 12, 29, 1, tzinfo=UTC)
    assert checked(form(), end - timedelta(microseconds=1)).expires_at == end
    error = refusal(form(), end)
    assert (error.code, error.message) == ("AccessDenied", "Invalid according to Policy: Policy expired.")


def test_forms_are_not_valid_before_their_time() -> None:
    assert checked(form(), NOW - timedelta(minutes=15)).key_id == KEY_ID
    assert refusal(form(), NOW - timedelta(minutes=16)).code == "AccessDenied"


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"key": "foo", "acl": "private"},
        {"key": 5},
        {"key": None},
        [],
        ["eq"],
        ["eq", "$key"],
        ["eq", "$key", 5],
        ["eq", "key", "foo"],
        ["eq", "$", "foo"],
        ["eq", "$key", "foo", "bar"],
        ["ends-with", "$key", "foo"],
        [None, "$key", "foo"],
        ["content-length-range", 0],
        ["content-length-range", -1, 0],
        ["content-length-range", 1, 0],
        ["content-length-range", 0, 1, 2],
        ["content-length-range", 0, True],
        ["content-length-range", 0, 1.5],
        ["content-length-range", 0, 2**63],
        ["content-length-range", 0, "x"],
        ["content-length-range", 0, None],
        "key",
        5,
        None,
    ],
)
def test_malformed_conditions_are_refused(condition: object) -> None:
    error = refusal(form([*CONDITIONS, condition]))
    assert (error.code, error.status) == ("InvalidPolicyDocument", 400)


@pytest.mark.parametrize(
    "policy",
    [
        "",
        "x",
        "ü",
        base64.b64encode(b"\xff").decode(),
        base64.b64encode(b"{").decode(),
        base64.b64encode(b"[" * 50_000).decode(),
        base64.b64encode(b'{"expiration": ' + b"1" * 5_000 + b"}").decode(),
        encoded([]),
        encoded({"conditions": CONDITIONS}),
        encoded({"expiration": EXPIRATION}),
        encoded({"expiration": EXPIRATION, "conditions": {}}),
        encoded({"EXPIRATION": EXPIRATION, "conditions": CONDITIONS}),
        encoded({"expiration": EXPIRATION, "CONDITIONS": CONDITIONS}),
    ],
)
def test_malformed_policies_are_refused(policy: str) -> None:
    error = refusal(form(policy=policy))
    assert (error.code, error.status) == ("InvalidPolicyDocument", 400)


@pytest.mark.parametrize("name", ["key", "policy", *CLAIM, "x-amz-signature"])
def test_the_needed_fields(name: str) -> None:
    fields = form()
    del fields[name]
    error = refusal(fields)
    assert (error.code, error.fields) == ("InvalidArgument", {"ArgumentName": name})


@pytest.mark.parametrize(
    "change",
    [
        {"x-amz-credential": f"{KEY_ID}/20151229/us-east-1/s3"},
        {"x-amz-credential": f"{KEY_ID}/20151230/us-east-1/s3/aws4_request"},
        {"x-amz-credential": f"{KEY_ID}/20151229/us-east-1/iam/aws4_request"},
        {"x-amz-date": "2015-12-29"},
        {"x-amz-signature": SIGNATURE[:-1]},
        {"x-amz-signature": SIGNATURE.upper()},
    ],
)
def test_malformed_fields_are_refused(change: dict[str, str]) -> None:
    assert refusal(form() | change).code == "InvalidArgument"


def old(**fields: str | None) -> dict[str, str]:
    """Return a form of signature version 2."""
    return form(CONDITIONS[:5], x_amz_signature=None, **dict.fromkeys(map(_field, CLAIM)), **fields)


def _field(name: str) -> str:
    return name.replace("-", "_")


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: old(awsaccesskeyid="a", signature="b"), "AccessDenied"),
        (lambda: old(awsaccesskeyid="a"), "InvalidArgument"),
        (lambda: old(awsaccesskeyid="a", signature="b", policy=None), "InvalidArgument"),
        (lambda: old(awsaccesskeyid="a", signature="b", policy="x"), "InvalidPolicyDocument"),
        (lambda: form(x_amz_algorithm="AWS4-ECDSA-P256-SHA256"), "AccessDenied"),
        (lambda: form(x_amz_security_token="t"), "InvalidToken"),
    ],
    ids=[
        "version 2",
        "half of version 2",
        "version 2 without a policy",
        "a policy that is none",
        "version 4a",
        "token",
    ],
)
def test_other_credentials_are_refused(make: Callable[[], dict[str, str]], code: str) -> None:
    assert refusal(make()).code == code


@pytest.mark.parametrize("filename", ["a b.txt", "C:\\folder\\a b.txt", "/folder/a b.txt", "x/\\a b.txt"])
def test_the_name_of_the_file_replaces_its_variable(filename: str) -> None:
    fields = with_filename(
        {"key": "user/${filename}", "x-amz-meta-a": "${filename}", "policy": "${filename}"}, filename
    )
    assert fields == {"key": "user/a b.txt", "x-amz-meta-a": "a b.txt", "policy": "${filename}"}
    named = with_filename(form(key="${filename}"), "foo.txt")
    assert checked(named).key_id == KEY_ID
