"""The credential of a signature: its key and its scope; and the time of the signature, which may be a little off.

Source: Amazon S3 API Reference, Authenticating Requests (AWS Signature Version 4).
"""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from entrypoints.http.protocol.fields.header_values import http_date
from entrypoints.http.s3.errors import S3Error

SERVICE = "s3"
TERMINATOR = "aws4_request"
SKEW = timedelta(minutes=15)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No line feed gets into a text that is signed, where it would move the limits between the lines.
_CREDENTIAL = re.compile(r"([!-.0-~]{1,128}+)/([0-9]{8})/([!-.0-~]{1,64}+)/([!-.0-~]{1,64}+)/([!-.0-~]{1,64}+)")
_TIME = re.compile(r"[0-9]{8}T(?:[01][0-9]|2[0-3])[0-9]{4}Z")
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
