"""Verifications in a SQL database."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows.versions import BlobRow
from adapters.sql.database import Run
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.tables import VERIFICATIONS, microseconds_of, time_of
from application.ports.verifications import Verification, VerificationRepository


class SqlVerifications(VerificationRepository):
    def __init__(self, run: Run) -> None:
        self._run = run

    async def last(self) -> Sequence[Verification]:
        return await self._run(_select)

    async def record(self, verification: Verification) -> None:
        await self._run(_replace, verification)


def _select(connection: Connection) -> Sequence[Verification]:
    found = sa.select(VERIFICATIONS).order_by(VERIFICATIONS.c.backend)
    return [_verification(row) for row in connection.execute(found)]


def _replace(connection: Connection, verification: Verification) -> None:
    values = _values(verification)
    if not insert_or_ignore(connection, VERIFICATIONS, {"backend": verification.storage, **values}):
        same = VERIFICATIONS.c.backend == verification.storage
        connection.execute(sa.update(VERIFICATIONS).where(same).values(values))


def _values(verification: Verification) -> dict[str, Any]:
    return {
        "begun_at": microseconds_of(verification.begun_at),
        "ended_at": microseconds_of(verification.ended_at),
        "deep": verification.deep,
        "complete": verification.complete,
        "blobs": verification.blobs,
        "bytes": verification.bytes,
        "objects": verification.objects,
        "missing": verification.missing,
        "damaged": verification.damaged,
        "orphans": verification.orphans,
        "unreadable": verification.unreadable,
        "repaired": verification.repaired,
    }


def _verification(row: BlobRow) -> Verification:
    return Verification(
        row.backend,
        time_of(row.begun_at),
        time_of(row.ended_at),
        row.deep,
        row.complete,
        row.blobs,
        row.bytes,
        row.objects,
        row.missing,
        row.damaged,
        row.orphans,
        row.unreadable,
        row.repaired,
    )
