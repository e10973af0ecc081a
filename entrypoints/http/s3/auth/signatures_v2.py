"""AWS Signature Version 2 of requests to S3, in the Authorization header or in the query, and of the policies of forms.

Source: Amazon S3 Developer Guide (API Version 2006-03-01), Signing and Authenticating REST Requests, and Browser-Based
Uploads Using POST. Such a signature covers neither the host nor the body, nor the parameters of lists.
"""

import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from entrypoints.http.s3.auth.credentials import Parameters, check_skew, time_of_header
from entrypoints.http.s3.auth.signatures import query_parameters
from entrypoints.http.s3.errors import S3Error

SUBRESOURCES = frozenset(
    {
        *(b"accelerate", b"acl", b"analytics", b"cors", b"delete", b"encryption", b"inventory", b"legal-hold"),
        *(b"lifecycle", b"location", b"logging", b"metrics", b"notification", b"object-lock", b"ownershipControls"),
        *(b"partNumber", b"policy", b"policyStatus", b"publicAccessBlock", b"replication", b"requestPayment"),
        *(b"response-cache-control", b"response-content-disposition", b"response-content-encoding"),
        *(b"response-content-language", b"response-content-type", b"response-expires", b"restore", b"retention"),
        *(b"select", b"select-type", b"storageClass", b"tagging", b"torrent", b"uploadId", b"uploads", b"versionId"),
        *(b"versioning", b"versions", b"website"),
    }
)
"""The parameters that are signed."""
_WITH_OVERRIDES = {b"versionId", b"partNumber"}
_CLAIM = (b"AWSAccessKeyId", b"Expires", b"Signature")
_WITHOUT_EFFECT = {*_CLAIM, b"content-type", b"content-md5", b"x-id"}
_AMZ = b"x-amz-"
_VERSION_4 = frozenset({b"x-amz-algorithm", b"x-amz-credential", b"x-amz-signature"})
_TOKENS = frozenset({b"x-amz-security-token", b"x-amz-s3session-token"})

_HEADER = re.compile(r"AWS ([!-9;-~]{1,128}+):([A-Za-z0-9+/]{27}=)")
_KEY_ID = re.compile(r"[!-9;-~]{1,128}+")
_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{27}=")
_EXPIRES = re.compile(r"[0-9]{1,11}+")


@dataclass(frozen=True, slots=True)
class SignatureV2:
    """A text that claims to be signed with the secret of `key_id`.

    `signature` is in Base64. It is valid for any of `strings_to_sign`.
    """

    key_id: str
    signature: str
    strings_to_sign: tuple[bytes, ...] = field(repr=False)
    is_presigned: bool = True

    def is_valid(self, secret: bytes) -> bool:
        """Return whether this secret has signed. The time it takes does not depend on the signature."""
        given = self.signature.encode()
        made = [base64.b64encode(hmac.digest(secret, each, "sha1")) for each in self.strings_to_sign]
        return any(hmac.compare_digest(each, given) for each in made)

    def mismatch(self) -> S3Error:
        """Return the error for a signature that is not valid, with all that a client needs to find out why."""
        return S3Error(
            "SignatureDoesNotMatch",
            AWSAccessKeyId=self.key_id,
            StringToSign=self.strings_to_sign[0].decode("utf-8", "replace"),
            SignatureProvided=self.signature,
        )


def parse(
    method: str, resource: bytes, query: bytes, headers: Sequence[tuple[bytes, bytes]], now: datetime
) -> SignatureV2 | None:
    """Return what a request claims to be signed with by version 2; None if it has no such claim, or another one too.

    `resource` is the path as sent, with the bucket first if that is in the host. `now` is in UTC. Raises S3Error if the
    claim is malformed or expired, or if a URL has parameters that it does not cover.
    """
    values: dict[str, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name.decode("latin-1").lower(), []).append(value.strip())
    parameters = query_parameters(query)
    names = {name for name, _ in parameters}
    lowered = {name.lower() for name in names}
    authorizations = values.get("authorization", [])
    is_in_query = not lowered.isdisjoint({b"awsaccesskeyid", b"signature"})
    if not (_VERSION_4 | _TOKENS).isdisjoint(lowered) or any(each.decode() in values for each in _TOKENS):
        return None
    if len(authorizations) + is_in_query != 1 or not (is_in_query or authorizations[0].startswith(b"AWS ")):
        return None
    overrides = {name for name in names if name.startswith(b"response-")}
    # Version 2 signs decoded values, joined by `&`: one value with `&` has the signature of two parameters.
    if overrides and names & SUBRESOURCES - _WITH_OVERRIDES - overrides:
        raise S3Error("AccessDenied", "Version 2 does not sign headers of the response together with other operations.")
    if any(b"&" in value for name, value in parameters if name in SUBRESOURCES - overrides):
        raise S3Error("AccessDenied", "Version 2 does not sign `&` in the value of this parameter.")
    if is_in_query:
        key_id, signature, date = _of_query(parameters, now)
    else:
        key_id, signature = _of_header(authorizations[0].decode("latin-1"))
        date = _date_of(values, now)
    standard = (b",".join(values.get(name, [])) for name in ("content-md5", "content-type"))
    amz = sorted((name, b",".join(each)) for name, each in values.items() if name.startswith("x-amz-"))
    lines = [method.encode(), *standard, date, *(b"%b:%b" % (name.encode(), value) for name, value in amz)]
    resources = [resource, resource + b"/"] if resource.count(b"/") == 1 else [resource]  # botocore adds the slash
    texts = tuple(b"\n".join([*lines, each + _signed_query(parameters)]) for each in resources)
    return SignatureV2(key_id, signature, texts, is_presigned=is_in_query)


def of_form(fields: Mapping[str, str]) -> SignatureV2:
    """Return what a form claims that its policy is signed with, from its fields by names in lower case."""
    key_id, signature = fields["awsaccesskeyid"], fields["signature"]
    if not _KEY_ID.fullmatch(key_id):
        raise S3Error("InvalidAccessKeyId", AWSAccessKeyId=key_id)
    claim = SignatureV2(key_id, signature, (fields["policy"].encode(),))
    if not _SIGNATURE.fullmatch(signature):
        raise claim.mismatch()
    return claim


def _of_header(authorization: str) -> tuple[str, str]:
    found = _HEADER.fullmatch(authorization)
    if found is None:
        text = "AWS authorization header is invalid. Expected AwsAccessKeyId:signature"
        raise S3Error("InvalidArgument", text, ArgumentName="Authorization")
    return found[1], found[2]


def _date_of(values: dict[str, list[bytes]], now: datetime) -> bytes:
    """Return the line for the date, which is empty if the date is in x-amz-date. Raises RequestTimeTooSkewed."""
    check_skew(time_of_header(values, is_old=True), now)
    return b"" if "x-amz-date" in values else values["date"][0]


def _of_query(parameters: Parameters, now: datetime) -> tuple[str, str, bytes]:
    """Return key id, signature, and the time at which a URL expires, in seconds since 1970."""
    found = [next((value for each, value in parameters if each == name), b"").decode("latin-1") for name in _CLAIM]
    key_id, expires, signature = found
    if not _KEY_ID.fullmatch(key_id) or not _EXPIRES.fullmatch(expires) or not _SIGNATURE.fullmatch(signature):
        text = "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters"
        raise S3Error("AccessDenied", text)
    expires_at = datetime.fromtimestamp(int(expires), UTC)
    if now >= expires_at:
        fields = {"Expires": f"{expires_at:%Y-%m-%dT%H:%M:%SZ}", "ServerTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        raise S3Error("AccessDenied", "Request has expired", headers=None, **fields)
    for name, _ in parameters:
        if name not in SUBRESOURCES and name not in _WITHOUT_EFFECT and not name.lower().startswith(_AMZ):
            text = "Version 2 does not sign this parameter. Sign the URL by version 4."
            raise S3Error("AccessDenied", text, ParametersNotSigned=name.decode("utf-8", "replace"))
    return key_id, signature, expires.encode()


def _signed_query(parameters: Parameters) -> bytes:
    signed = sorted(each for each in parameters if each[0] in SUBRESOURCES)
    lines = [b"%b=%b" % each if each[1] else each[0] for each in signed]
    return b"?" + b"&".join(lines) if lines else b""
