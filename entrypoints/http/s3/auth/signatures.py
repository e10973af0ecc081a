"""AWS Signature Version 4 of requests to S3, in the Authorization header or in the query of a presigned URL.

Source: Amazon S3 API Reference, Authenticating Requests (AWS Signature Version 4). No function reads a clock or a
secret: callers pass the time, and compare the signature with that of `signing_keys`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from entrypoints.http.s3.auth.credentials import (
    SERVICE,
    SKEW,
    TERMINATOR,
    Credential,
    Headers,
    Parameters,
    check_skew,
    format_time,
    parse_credential,
    parse_time,
    time_of_header,
    wrong_scope,
)
from entrypoints.http.s3.auth.payloads import payload_of_header, payload_of_presigned
from entrypoints.http.s3.errors import S3Error

ALGORITHM = "AWS4-HMAC-SHA256"
LONGEST = 604_800
"""The longest validity of a presigned URL, in seconds: a week."""

UNSUPPORTED = f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}."
_SEVERAL = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or "
    "the Authorization header should be specified"
)
_INCOMPLETE_QUERY = (
    "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
    "X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
)
_EXPIRED = "Request has expired"

_OLD_QUERY = frozenset({b"awsaccesskeyid", b"signature"})
_QUERY = (b"X-Amz-Algorithm", b"X-Amz-Credential", b"X-Amz-Date", b"X-Amz-Expires", b"X-Amz-SignedHeaders")
_SIGNATURE = b"X-Amz-Signature"
# X-Amz-Date by itself is no credential.
_QUERY_CREDENTIALS = _OLD_QUERY | {name.lower() for name in (*_QUERY, _SIGNATURE)} - {b"x-amz-date"}
# Most of what is encoded is one of these, or needs no encoding: both are quicker than the function.
_ENCODED = {name: name.decode() for name in _QUERY}
_TOKENS = ("x-amz-security-token", "x-amz-s3session-token")
_FIELDS = {"Credential", "SignedHeaders", "Signature"}

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]++")
_HEX = re.compile(r"[0-9a-f]{64}")
_EXPIRES = re.compile(r"-?+[0-9]{1,9}+")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that claims to be signed with the secret of `key_id`. `is_valid` decides whether it is.

    `date` is YYYYMMDD, `signed_at` and `expires_at` are in UTC; `expires_at` is None unless the URL is presigned.
    `signature` has 64 hexadecimal digits in lower case. It is valid for any of `strings_to_sign`: clients differ in how
    they sign header values outside ASCII. `payload` is the SHA-256 of the body in hexadecimal digits, UNSIGNED, or one
    of STREAMING.
    """

    key_id: str
    date: str
    region: str
    signed_at: datetime
    expires_at: datetime | None
    signature: str
    strings_to_sign: tuple[bytes, ...] = field(repr=False)
    payload: str
    is_presigned: bool
    canonical_request: bytes = field(repr=False)

    @property
    def scope(self) -> str:
        """The credential scope: date, region, service and terminator."""
        return f"{self.date}/{self.region}/{SERVICE}/{TERMINATOR}"


class _Claim(NamedTuple):
    """Credential, time and signature of a request, from its header or from its query."""

    credential: Credential
    signed_at: datetime
    expires_at: datetime | None
    signed_headers: str
    signature: str


def parse(
    method: str, raw_path: bytes, parameters: Parameters, headers: Sequence[tuple[bytes, bytes]], now: datetime
) -> SignedRequest | None:
    """Return what a request claims to be signed with; None if it has no credential at all.

    `raw_path` is as sent, `parameters` are from the query, and `now` is in UTC. Raises S3Error if the claim is
    malformed, expired, or of another kind.
    """
    values = _by_name(headers)
    names = {name.lower() for name, _ in parameters}
    authorizations = values.get("authorization", [])
    is_in_query = not names.isdisjoint(_QUERY_CREDENTIALS)
    if any(token in values or token.encode() in names for token in _TOKENS):
        raise S3Error("InvalidToken")
    if not authorizations and not is_in_query:
        return None
    if len(authorizations) + is_in_query > 1:
        raise S3Error("AccessDenied", _SEVERAL)
    if authorizations:
        claim = _from_header(authorizations[0], values)
        payload = payload_of_header(values)
        check_skew(claim.signed_at, now)
    else:
        claim = _from_query(parameters, names)
        payload = payload_of_presigned(values, parameters)
        _check_validity(claim, now)
    signed_headers = claim.signed_headers.split(";")
    _check_all_signed(values, signed_headers)
    canonical = _canonical_requests(method, raw_path, parameters, values, signed_headers, payload)
    credential = claim.credential
    return SignedRequest(
        credential.key_id,
        credential.date,
        credential.region,
        claim.signed_at,
        claim.expires_at,
        claim.signature,
        tuple(_string_to_sign(claim, each) for each in canonical),
        payload,
        not authorizations,
        canonical[0],
    )


def query_parameters(query: bytes) -> Parameters:
    """Return the parameters of a query, decoded, in their order. `+` is a space, as for S3.

    The signature covers these values. So whoever acts on a parameter must have it from here, or decode it in this way.
    """
    return [
        (_decoded(name), _decoded(value))
        for name, _, value in [each.partition(b"=") for each in query.replace(b"+", b" ").split(b"&") if each]
    ]


def _decoded(text: bytes) -> bytes:
    return unquote_to_bytes(text) if b"%" in text else text  # without the call, in half of the time


def signature_mismatch(request: SignedRequest) -> S3Error:
    """Return the error for a signature that is not valid, with all that a client needs to find out why."""
    return S3Error(
        "SignatureDoesNotMatch",
        AWSAccessKeyId=request.key_id,
        StringToSign=request.strings_to_sign[0].decode("utf-8", "replace"),
        SignatureProvided=request.signature,
        CanonicalRequest=request.canonical_request.decode("utf-8", "replace"),
    )


def _by_name(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    values: Headers = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1").lower(), []).append(value)
    return values


def _from_header(authorization: bytes, values: Headers) -> _Claim:
    scheme, _, rest = authorization.decode("latin-1").strip().partition(" ")
    if scheme != ALGORITHM:
        raise S3Error("AccessDenied", UNSUPPORTED if scheme else "")
    pairs = [each.strip().partition("=")[::2] for each in rest.split(",")]
    fields = dict(pairs)
    if len(pairs) != len(fields) or fields.keys() != _FIELDS:
        raise _malformed_header("it must have one each of Credential, SignedHeaders and Signature.")
    credential = parse_credential(fields["Credential"])
    if credential is None:
        raise _malformed_header(
            'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    signed_at = time_of_header(values)
    problem = wrong_scope(credential, signed_at) or _wrong_signed(fields["SignedHeaders"], fields["Signature"])
    if problem:
        raise _malformed_header(problem)
    return _Claim(credential, signed_at, None, fields["SignedHeaders"], fields["Signature"])


def _from_query(parameters: Parameters, names: set[bytes]) -> _Claim:
    if not names.isdisjoint(_OLD_QUERY):
        raise S3Error("AccessDenied", UNSUPPORTED)
    found = dict[bytes, str]()
    for name, value in parameters:
        if name in _QUERY or name == _SIGNATURE:
            if name in found:
                raise _malformed_query(_INCOMPLETE_QUERY)
            found[name] = value.decode("latin-1")
    if len(found) != len(_QUERY) + 1:
        raise _malformed_query(_INCOMPLETE_QUERY)
    algorithm, credential_text, time, lifetime, signed_headers = (found[name] for name in _QUERY)
    if algorithm != ALGORITHM:
        raise S3Error("AccessDenied", UNSUPPORTED)
    credential = parse_credential(credential_text)
    if credential is None:
        raise _malformed_query(
            'Error parsing the X-Amz-Credential parameter; the Credential is mal-formed; expecting "<YOUR-AKID>/'
            'YYYYMMDD/REGION/SERVICE/aws4_request".'
        )
    signed_at = parse_time(time)
    if signed_at is None:
        raise _malformed_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if not _EXPIRES.fullmatch(lifetime) or int(lifetime) > LONGEST:
        raise _malformed_query(f"X-Amz-Expires must be a number of seconds from 1 to {LONGEST}, which is a week")
    if int(lifetime) < 1:  # signed by a clock that is fast, it could be valid still
        raise S3Error("AccessDenied", _EXPIRED)
    problem = wrong_scope(credential, signed_at) or _wrong_signed(signed_headers, found[_SIGNATURE])
    if problem:
        raise _malformed_query(problem[0].upper() + problem[1:])
    try:
        expires_at = signed_at + timedelta(seconds=int(lifetime))
    except OverflowError:
        raise _malformed_query("X-Amz-Date is too late") from None
    return _Claim(credential, signed_at, expires_at, signed_headers, found[_SIGNATURE])


def _wrong_signed(signed_headers: str, signature: str) -> str:
    names = signed_headers.split(";")
    if names != sorted(set(names)) or not all(map(_HEADER_NAME.fullmatch, names)) or "host" not in names:
        return "the SignedHeaders must be in lower case, sorted, separated by semicolons, and include host."
    return "" if _HEX.fullmatch(signature) else "the Signature must have 64 hexadecimal digits, in lower case."


def _malformed_header(problem: str) -> S3Error:
    return S3Error("AuthorizationHeaderMalformed", f"The authorization header is malformed; {problem}")


def _malformed_query(problem: str) -> S3Error:
    return S3Error("AuthorizationQueryParametersError", problem)


def _check_validity(claim: _Claim, now: datetime) -> None:
    assert claim.expires_at is not None
    if claim.signed_at - now > SKEW:
        raise S3Error("AccessDenied", "Request is not valid yet")
    if now >= claim.expires_at:
        lifetime = int((claim.expires_at - claim.signed_at).total_seconds())
        fields = {"X-Amz-Expires": str(lifetime), "Expires": f"{claim.expires_at:%Y-%m-%dT%H:%M:%SZ}"}
        fields["ServerTime"] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        raise S3Error("AccessDenied", _EXPIRED, headers=None, **fields)


def _check_all_signed(values: Headers, signed_headers: list[str]) -> None:
    signed = frozenset(signed_headers)
    unsigned = [name for name in values if name.startswith("x-amz-") and name not in signed]
    if unsigned:
        text = "There were headers present in the request which were not signed"
        raise S3Error("AccessDenied", text, HeadersNotSigned=", ".join(sorted(unsigned)))


def _canonical_requests(
    method: str,
    raw_path: bytes,
    parameters: Parameters,
    values: Headers,
    signed_headers: list[str],
    payload: str,
) -> list[bytes]:
    """Return the canonical request: two if header values are outside ASCII.

    Most clients sign the bytes that they send. Those of botocore send such a value in latin-1 and sign it in UTF-8.
    They also take some characters outside ASCII for spaces. That is not done here: then the signature of a space would
    be valid for the others too.
    """
    path = quote_from_bytes(unquote_to_bytes(raw_path), safe="/~") or "/"
    encoded = sorted([(_encoded(name), _encoded(value)) for name, value in parameters if name != _SIGNATURE])
    start = "\n".join((method, path, "&".join([f"{name}={value}" for name, value in encoded]), "")).encode()
    end = "\n".join(("", ";".join(signed_headers), payload)).encode()
    signed = [(name.encode(), values.get(name, [])) for name in signed_headers]
    lines = [_lines(signed)]
    if not lines[0].isascii():
        texts = [(name, [each.decode("latin-1") for each in given]) for name, given in signed]
        lines.append(_lines([(name, [each.encode() for each in given]) for name, given in texts]))
    return [start + each + end for each in dict.fromkeys(lines)]


def _encoded(text: bytes) -> str:
    return _ENCODED.get(text) or (text.decode() if text.isalnum() else quote_from_bytes(text, safe="~"))


def _lines(signed: list[tuple[bytes, list[bytes]]]) -> bytes:
    return b"".join(b"%b:%b\n" % (name, b",".join(b" ".join(each.split()) for each in given)) for name, given in signed)


def _string_to_sign(claim: _Claim, canonical_request: bytes) -> bytes:
    digest = sha256(canonical_request).hexdigest()
    return "\n".join((ALGORITHM, format_time(claim.signed_at), claim.credential.scope, digest)).encode()
