"""Errors of database drivers: which of them let a transaction be repeated."""

import asyncpg
import pytest

from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from domain.errors import Kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.SerializationError, Kind.ROLLED_BACK),
        (asyncpg.DeadlockDetectedError, Kind.ROLLED_BACK),
        (asyncpg.StatementCompletionUnknownError, Kind.UNAVAILABLE),  # it may have been committed
        (asyncpg.TransactionResolutionUnknownError, Kind.UNAVAILABLE),
    ],
)
def test_only_what_was_rolled_back_may_be_repeated(error: type[asyncpg.PostgresError], kind: Kind) -> None:
    assert PostgresqlDatabase(PostgresqlConfig("postgresql://host/name")).kind(error("")) is kind
