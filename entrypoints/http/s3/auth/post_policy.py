"""Uploads by browser forms: the signed policy document that says which forms are allowed.

Source: Amazon S3 API Reference, Browser-Based Uploads Using POST (AWS Signature Version 4), and POST Policy.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from entrypoints.http.s3.auth.credentials import SKEW, Credential, parse_credential, parse_time, wrong_scope
from entrypoints.http.s3.auth.signatures import ALGORITHM, UNSUPPORTED
from entrypoints.http.s3.auth.signatures_v2 import SignatureV2, of_form
from entrypoints.http.s3.errors import S3Error

FILENAME = "${filename}"
_FREE = frozenset({"x-amz-signature", "file", "policy", "awsaccesskeyid", "signature"})
"""The fields that need no condition."""
_FREE_PREFIXES = ("x-ignore-", "x-amz-checksum-")
"""The beginnings of others. A checksum can only make an upload fail."""
_OLD = frozenset({"awsaccesskeyid", "signature"})
_NEEDED = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature")
_NO_CREDENTIAL = Credential("", "", "", "", "")
_TOKENS = ("x-amz-security-token", "x-amz-s3session-token")
_LARGEST = 2**63 - 1

_SPACE = re.compile(r"[ \t\r\n]++")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_EXPIRATION = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9}+)?+Z")
_LENGTH = re.compile(r"[0-9]{1,18}+")
# S3 has two escapes that JSON has not: POST Policy, Character Escaping.
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"$": "$", "v": "\\u000b"}


@dataclass(frozen=True, slots=True)
class PostPolicy:
    """A form that is as its policy demands, if the policy is signed with the secret of `key_id`.

    `signing_keys.is_valid` decides that, or `version_2` itself, if that is not None. `date` is YYYYMMDD, `expires_at`
    is in UTC. A file may have from `min_size` to `max_size` bytes; None is no limit.
    """

    key_id: str
    date: str
    region: str
    expires_at: datetime
    signature: str
    string_to_sign: bytes = field(repr=False)
    min_size: int = 0
    max_size: int | None = None
    version_2: SignatureV2 | None = None

    @property
    def strings_to_sign(self) -> tuple[bytes, ...]:
        return (self.string_to_sign,)

    def check_size(self, size: int) -> None:
        """Raise S3Error unless a file may have this many bytes."""
        if size < self.min_size:
            raise S3Error("EntityTooSmall", ProposedSize=str(size), MinSizeAllowed=str(self.min_size))
        if self.max_size is not None and size > self.max_size:
            raise S3Error("EntityTooLarge", ProposedSize=str(size), MaxSizeAllowed=str(self.max_size))

    def mismatch(self) -> S3Error:
        """Return the error for a signature that is not valid."""
        if self.version_2 is not None:
            return self.version_2.mismatch()
        return S3Error(
            "SignatureDoesNotMatch",
            AWSAccessKeyId=self.key_id,
            StringToSign=self.string_to_sign.decode("utf-8", "replace"),
            SignatureProvided=self.signature,
        )


class _Condition(NamedTuple):
    operator: str
    name: str
    value: str

    def __str__(self) -> str:
        return json.dumps([self.operator, f"${self.name}", self.value])

    def holds(self, fields: Mapping[str, str]) -> bool:
        given = fields.get(self.name)
        if given is None:
            return False
        if self.operator == "eq":
            return given == self.value
        if self.name == "content-type":
            return all(each.strip().startswith(self.value) for each in given.split(","))
        return given.startswith(self.value)


def with_filename(fields: Mapping[str, str], filename: str) -> dict[str, str]:
    """Return the fields of a form with the file's name, without its folders, in place of `${filename}`.

    Conditions are about these values. The policy and its signature stay as they are.
    """
    name = filename.replace("\\", "/").rpartition("/")[2]
    return {key: value if key in _FREE else value.replace(FILENAME, name) for key, value in fields.items()}


def check(fields: Mapping[str, str], now: datetime, *, bucket: str, version_2: bool = False) -> PostPolicy | None:
    """Check a form against its policy, all but the signature and the size of the file. None if it has no credential.

    `fields` are the fields before the file, by their names in lower case, with their names replaced by `with_filename`.
    `bucket` is the bucket that the request addresses, and `now` in UTC. `version_2`: whether signatures of version 2
    are taken. Raises S3Error.
    """
    if any(token in fields for token in _TOKENS):
        raise S3Error("InvalidToken")
    if "key" not in fields:
        raise _no_field("key")
    if "policy" not in fields:
        if not _OLD.isdisjoint(fields) or not fields.keys().isdisjoint(_NEEDED):
            raise _no_field("policy")
        return None
    text = fields["policy"]
    expires_at, conditions, sizes = _parse(text)
    is_old = version_2 and "x-amz-signature" not in fields and fields.keys() >= _OLD
    old = of_form(fields) if is_old else None
    credential, signature = (_NO_CREDENTIAL._replace(key_id=old.key_id), "") if old else _claim(fields, now)
    if now >= expires_at:
        raise _violation("Policy expired.")
    form = {name: value for name, value in fields.items() if name not in _FREE}
    if form.setdefault("bucket", bucket) != bucket:
        raise _violation("The form names another bucket than its address.")
    for condition in conditions:
        if not condition.holds(form):
            raise _violation(f"Policy Condition failed: {condition}")
    unnamed = form.keys() - {condition.name for condition in conditions}
    if extra := [name for name in unnamed if not name.startswith(_FREE_PREFIXES)]:
        raise _violation(f"Extra input fields: {', '.join(sorted(extra))}")
    return PostPolicy(
        credential.key_id, credential.date, credential.region, expires_at, signature, text.encode(), *sizes, old
    )


def _claim(fields: Mapping[str, str], now: datetime) -> tuple[Credential, str]:
    """Return credential and signature of a form."""
    if "x-amz-signature" not in fields and fields.keys() >= _OLD:
        raise S3Error("AccessDenied", UNSUPPORTED)
    for name in _NEEDED:
        if name not in fields:
            raise _no_field(name)
    if fields["x-amz-algorithm"] != ALGORITHM:
        raise S3Error("AccessDenied", UNSUPPORTED)
    credential, signed_at = parse_credential(fields["x-amz-credential"]), parse_time(fields["x-amz-date"])
    if credential is None:
        raise _invalid_field("x-amz-credential", 'it must be "<YOUR-AKID>/YYYYMMDD/REGION/s3/aws4_request".')
    if signed_at is None:
        raise _invalid_field("x-amz-date", "it must be of the form YYYYMMDDTHHMMSSZ.")
    if problem := wrong_scope(credential, signed_at):
        raise _invalid_field("x-amz-credential", problem)
    if signed_at - now > SKEW:
        raise S3Error("AccessDenied", "Request is not valid yet")
    if not _SIGNATURE.fullmatch(fields["x-amz-signature"]):
        raise _invalid_field("x-amz-signature", "it must have 64 hexadecimal digits, in lower case.")
    return credential, fields["x-amz-signature"]


def _parse(text: str) -> tuple[datetime, list[_Condition], tuple[int, int | None]]:
    """Return expiration, conditions and the range of sizes of a policy document."""
    document = _document(text)
    expiration, given = document.get("expiration"), document.get("conditions")
    found = _EXPIRATION.fullmatch(expiration) if isinstance(expiration, str) else None
    if found is None:
        raise _invalid("Policy missing expiration, or it is not of the form YYYY-MM-DDTHH:MM:SSZ.")
    if not isinstance(given, list):
        raise _invalid("Policy missing conditions.")
    try:
        expires_at = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError:
        raise _invalid("Invalid 'expiration' value.") from None
    conditions, min_size, max_size = list[_Condition](), 0, None
    for each in given:
        if isinstance(each, list) and each and _lower(each[0]) == "content-length-range":
            lowest, highest = _range(each)
            # All conditions must hold, and so all ranges.
            min_size, max_size = max(min_size, lowest), highest if max_size is None else min(max_size, highest)
        else:
            conditions.append(_condition(each))
    return expires_at, conditions, (min_size, max_size)


def _document(text: str) -> dict[str, Any]:
    try:
        decoded = base64.b64decode(_SPACE.sub("", text), validate=True).decode()
    except (binascii.Error, ValueError):
        raise _invalid("It is not base64 of UTF-8.") from None
    try:
        document = json.loads(_ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[0]), decoded))
    except (ValueError, RecursionError):
        raise _invalid("Invalid JSON.") from None
    if not isinstance(document, dict):
        raise _invalid("Invalid JSON: it is not an object.")
    return document


def _condition(given: object) -> _Condition:
    if isinstance(given, dict):
        if len(given) != 1:
            raise _invalid("Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.")
        [(name, value)] = given.items()
        if not isinstance(value, str):
            raise _invalid("Invalid Simple-Condition: value must be a string.")
        return _Condition("eq", name.lower(), value)
    if not isinstance(given, list) or len(given) != 3 or not all(isinstance(each, str) for each in given):
        raise _invalid("Invalid Condition: it must be an object, or a list of an operator and two values.")
    operator, name, value = given
    if _lower(operator) not in ("eq", "starts-with"):
        raise _invalid(f"Invalid Condition: unknown operation {json.dumps(operator)}.")
    if not name.startswith("$") or name == "$":
        raise _invalid("Invalid Condition: the name of a field begins with $.")
    return _Condition(operator.lower(), name[1:].lower(), value)


def _range(given: list[object]) -> tuple[int, int]:
    sizes = [*_sizes(given[1:])]
    if len(sizes) != 2 or sizes[0] > sizes[1]:
        raise _invalid("Invalid content-length-range: it needs two numbers of bytes, the smaller one first.")
    return sizes[0], sizes[1]


def _sizes(given: list[object]) -> Iterator[int]:
    for each in given:
        if isinstance(each, int) and not isinstance(each, bool) and 0 <= each <= _LARGEST:
            yield each
        elif isinstance(each, str) and _LENGTH.fullmatch(each):
            yield int(each)
        else:
            raise _invalid("Invalid content-length-range: it needs two numbers of bytes.")


def _lower(text: object) -> str:
    return text.lower() if isinstance(text, str) else ""


def _no_field(name: str) -> S3Error:
    text = f"Bucket POST must contain a field named '{name}'. If it is specified, please check the order of the fields."
    return S3Error("InvalidArgument", text, ArgumentName=name)


def _invalid_field(name: str, problem: str) -> S3Error:
    return S3Error("InvalidArgument", f"The field {name} is malformed: {problem}", ArgumentName=name)


def _invalid(problem: str) -> S3Error:
    return S3Error("InvalidPolicyDocument", f"Invalid Policy: {problem}")


def _violation(problem: str) -> S3Error:
    return S3Error("AccessDenied", f"Invalid according to Policy: {problem}")
