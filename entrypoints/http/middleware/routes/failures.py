"""Failed authentications: counted in the metrics and the audit trail, and slowed."""

from dataclasses import replace
from typing import Any

from application.access.failures import FailedAuthentications
from application.attempts import AUTHENTICATE, record
from domain.access import NOBODY
from entrypoints.http.protocol.addresses import client_address

UNAUTHENTICATED = "unauthenticated"
"""The name in a scope that marks a request without valid credentials, because its status may be another than 401."""


def mark_failure(scope: Any, key_id: str = "") -> None:
    """Let a request without valid credentials have its place in the metrics and in the audit trail.

    `key_id`: the key that it named, if it did.
    """
    scope[UNAUTHENTICATED] = True
    record(replace(NOBODY, key_id=key_id), AUTHENTICATE, is_granted=False)


async def count_failure(scope: Any, failures: FailedAuthentications, key_id: str = "") -> None:
    """Count a request with wrong credentials, and wait if its client has sent many. Raises RATE_LIMITED.

    It is marked first, so that one that is refused with RATE_LIMITED is counted too.
    """
    mark_failure(scope, key_id)
    await failures.add(client_address(scope))
