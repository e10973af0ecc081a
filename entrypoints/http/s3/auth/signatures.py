"""AWS Signature Version 4 of requests to S3, in the Authorization header or in the query of a presigned URL.

Source: Amazon S3 API Reference, Authenticating Requests (AWS Signature Version 4). All functions are pure: who has the
secrets, and who compares the clock, is up to the caller.
"""

import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple, Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes

from entrypoints.http.protocol.fields.header_values import http_date
from entrypoints.http.s3.errors import S3Error

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"
TERMINATOR = "aws4_request"
SKEW = timedelta(minutes=15)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONGEST = 604_800
"""The longest validity of a presigned URL, in seconds: a week."""

UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})

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
_PAYLOAD_TEXT = f"x-amz-content-sha256 must be {UNSIGNED}, {', '.join(sorted(STREAMING))}, or a valid sha256 value."

_OLD_QUERY = frozenset({b"awsaccesskeyid", b"signature"})
_QUERY = (b"X-Amz-Algorithm", b"X-Amz-Credential", b"X-Amz-Date", b"X-Amz-Expires", b"X-Amz-SignedHeaders")
_SIGNATURE = b"X-Amz-Signature"
# X-Amz-Date by itself is no credential.
_QUERY_CREDENTIALS = _OLD_QUERY | {name.lower() for name in (*_QUERY, _SIGNATURE)} - {b"x-amz-date"}
# Most of what is encoded is one of these, or needs no encoding: both are quicker than the function.
_ENCODED = {name: name.decode() for name in _QUERY}
_TOKENS = ("x-amz-security-token", "x-amz-s3session-token")
_FIELDS = {"Credential", "SignedHeaders", "Signature"}

# No line feed gets into a text that is signed, where it would move the limits between the lines.
_CREDENTIAL = re.compile(r"([!-.0-~]{1,128}+)/([0-9]{8})/([!-.0-~]{1,64}+)/([!-.0-~]{1,64}+)/([!-.0-~]{1,64}+)")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]++")
_TIME = re.compile(r"[0-9]{8}T(?:[01][0-9]|2[0-3])[0-9]{4}Z")
_HEX = re.compile(r"[0-9a-f]{64}")
_PAYLOAD = re.compile(r"[0-9a-fA-F]{64}")
_EXPIRES = re.compile(r"-?+[0-9]{1,9}+")

Headers = dict[str, list[bytes]]
Parameters = list[tuple[bytes, bytes]]


class Credential(NamedTuple):
    """The access key id and the scope that a signature is for."""

    key_id: str
    date: str
    region: str
    service: str
    terminator: str

    @property
    def scope(self) -> str:
        """Date, region, service and terminator, with slashes."""
        return "/".join(self[1:])


class Signed(Protocol):
    """A text with a signature: a request, or the policy of a form."""

    @property
    def signature(self) -> str: ...

    @property
    def strings_to_sign(self) -> tuple[bytes, ...]: ...


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
    method: str, raw_path: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], now: datetime
) -> SignedRequest | None:
    """Return what a request claims to be signed with; None if it has no credential at all.

    `raw_path` and `query` are as sent, without the question mark. `now` is in UTC. Raises S3Error if the claim is
    malformed, expired, or of another kind.
    """
    return claimed(method, raw_path, query_parameters(query), headers, now)


def claimed(
    method: str, raw_path: bytes, parameters: Parameters, headers: Sequence[tuple[bytes, bytes]], now: datetime
) -> SignedRequest | None:
    """Do what `parse` does, with the parameters of the query instead of the query."""
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
        payload = _payload_of_header(values)
        check_skew(claim.signed_at, now)
    else:
        claim = _from_query(parameters, names)
        payload = _payload_of_presigned(values, parameters)
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


def parse_credential(text: str) -> Credential | None:
    """Return the parts of `key id/date/region/service/terminator`. None if it has another form."""
    found = _CREDENTIAL.fullmatch(text)
    return None if found is None else Credential(*found.groups())


def wrong_scope(credential: Credential, signed_at: datetime) -> str:
    """Return a text if a credential is for another service, or of another day than its signature; otherwise none."""
    if credential.service != SERVICE:
        return f'incorrect service "{credential.service}". This endpoint belongs to "{SERVICE}".'
    if credential.terminator != TERMINATOR:
        return f'incorrect terminal "{credential.terminator}". This endpoint uses "{TERMINATOR}".'
    if credential.date != (day := format_time(signed_at)[:8]):
        return f'invalid credential date "{credential.date}". This date is not the same as X-Amz-Date: "{day}".'
    return ""


def parse_time(text: str) -> datetime | None:
    """Return a time of the form YYYYMMDDTHHMMSSZ, in UTC. None if it is none."""
    try:
        return datetime.fromisoformat(text) if _TIME.fullmatch(text) else None
    except ValueError:
        return None


def format_time(time: datetime) -> str:
    """Return a time as YYYYMMDDTHHMMSSZ."""
    # Not by strftime, which takes several times as long.
    return time.isoformat(timespec="seconds")[:19].replace("-", "").replace(":", "") + "Z"


def is_payload(text: str) -> bool:
    """Return whether a text is allowed as x-amz-content-sha256."""
    return text == UNSIGNED or text in STREAMING or _PAYLOAD.fullmatch(text) is not None


def invalid_payload() -> S3Error:
    """Return the error for an x-amz-content-sha256 that is not allowed."""
    return S3Error("InvalidArgument", _PAYLOAD_TEXT, ArgumentName="x-amz-content-sha256")


def signing_key(secret: bytes, date: str, region: str) -> bytes:
    """Return the key that signs the requests of a day in a region."""
    key = b"AWS4" + secret
    for each in (date, region, SERVICE, TERMINATOR):
        key = hmac.digest(key, each.encode(), "sha256")
    return key


class SigningKeys:
    """Signing keys that were derived before: the most recent ones.

    They are found by an HMAC of the secret, with a key of this process, and not by the secret.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self._capacity = capacity
        self._known: OrderedDict[tuple[bytes, str, str], bytes] = OrderedDict()
        self._salt = secrets.token_bytes(32)

    def get(self, secret: bytes, date: str, region: str) -> bytes:
        """Return the key that signs the requests of a day in a region."""
        identity = hmac.digest(self._salt, secret, "sha256"), date, region
        key = self._known.get(identity)
        if key is None:
            key = self._known[identity] = signing_key(secret, date, region)
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(identity)
        return key

    def __len__(self) -> int:
        return len(self._known)


def signature_of(string_to_sign: bytes, key: bytes) -> str:
    """Return the signature of a text, in hexadecimal digits."""
    return hmac.digest(key, string_to_sign, "sha256").hex()


def is_valid(signed: Signed, key: bytes) -> bool:
    """Return whether the signature was made with this signing key. The time it takes does not depend on the digits."""
    given = signed.signature.encode()
    return any(hmac.compare_digest(signature_of(each, key).encode(), given) for each in signed.strings_to_sign)


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


def time_of_header(values: Headers, *, is_old: bool = False) -> datetime:
    """Return the time in x-amz-date, or else in Date. Raises AccessDenied.

    `is_old`: whether x-amz-date may be a date of HTTP too, as for version 2.
    """
    given = values.get("x-amz-date") or values.get("date") or []
    text = given[0].decode("latin-1").strip() if len(given) == 1 else ""
    time = parse_time(text)
    if time is None and (is_old or "x-amz-date" not in values):
        # botocore writes the zone as e-mails do (RFC 5322, section 3.3).
        time = http_date(f"{text[:-5]}GMT" if text.endswith((" -0000", " +0000")) else text)
    if time is None or time < EPOCH:  # as S3 has it
        raise S3Error("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header")
    return time


def check_skew(signed_at: datetime, now: datetime) -> None:
    """Raise RequestTimeTooSkewed for a time that is too far from `now`."""
    if abs(signed_at - now) > SKEW:
        raise S3Error(
            "RequestTimeTooSkewed",
            RequestTime=format_time(signed_at),
            ServerTime=f"{now:%Y-%m-%dT%H:%M:%SZ}",
            MaxAllowedSkewMilliseconds=str(int(SKEW.total_seconds() * 1000)),
        )


def _check_validity(claim: _Claim, now: datetime) -> None:
    assert claim.expires_at is not None
    if claim.signed_at - now > SKEW:
        raise S3Error("AccessDenied", "Request is not valid yet")
    if now >= claim.expires_at:
        lifetime = int((claim.expires_at - claim.signed_at).total_seconds())
        fields = {"X-Amz-Expires": str(lifetime), "Expires": f"{claim.expires_at:%Y-%m-%dT%H:%M:%SZ}"}
        fields["ServerTime"] = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        raise S3Error("AccessDenied", _EXPIRED, headers=None, **fields)


def _payload_of_header(values: Headers) -> str:
    if "x-amz-content-sha256" not in values:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    return _payload(values["x-amz-content-sha256"])


def _payload_of_presigned(values: Headers, parameters: Parameters) -> str:
    """Return the payload of a presigned URL. A header must be signed, as all x-amz-*."""
    given = [value for name, value in parameters if name.lower() == b"x-amz-content-sha256"]
    given += values.get("x-amz-content-sha256", [])
    return _payload([*dict.fromkeys(given)]) if given else UNSIGNED


def _payload(given: list[bytes]) -> str:
    text = given[0].decode("latin-1").strip()
    if len(given) > 1 or not is_payload(text):
        raise invalid_payload()
    return text


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
