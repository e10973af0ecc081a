"""Metadata adapters under the contract of share links."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.contracts import test_contents, test_metadata
from tests.contracts.keys import FIRST
from tests.contracts.metadata import Metadata
from tests.contracts.shares import SharesContract, add, all_shares, remove_expired, share


class TestMemory(SharesContract):
    metadata = test_contents.TestMemory.metadata
    rows = test_metadata.TestMemory.rows


class OfReplicas(SharesContract):
    """Share links in a database that several replicas may use."""

    async def test_a_replica_whose_clock_is_ahead_removes_no_valid_share(self, metadata: Metadata) -> None:
        valid = share(expires_at=datetime.now(UTC).replace(microsecond=0) + timedelta(days=1))
        await add(metadata, valid, share(FIRST, expires_at=datetime.now(UTC) - timedelta(days=1)))
        assert await remove_expired(metadata, valid.expires_at + timedelta(days=366)) == 1
        assert await all_shares(metadata.shares) == [valid]


class TestSqlite(OfReplicas):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestSqlite.database
    may_have_tables = test_metadata.TestSqlite.may_have_tables


@pytest.mark.docker
class TestPostgresql(OfReplicas):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestPostgresql.database
    may_have_tables = test_metadata.TestPostgresql.may_have_tables
    expect_none_open = test_metadata.TestPostgresql.expect_none_open


@pytest.mark.docker
class TestMariadb(OfReplicas):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestMariadb.database
    may_have_tables = test_metadata.TestMariadb.may_have_tables
    expect_none_open = test_metadata.TestMariadb.expect_none_open
