"""Metadata adapters under the contract of quotas, and what databases promise in which several units write at once."""

import asyncio

import pytest

from tests.contracts import test_contents, test_metadata
from tests.contracts.keys import FIRST
from tests.contracts.metadata import LONG, NOW, Metadata
from tests.contracts.quotas import QuotasContract, add_keys, expect_exact, owned, store, stored

AT_ONCE = 10  # seconds: longer than a change takes, and shorter than units wait for each other


class TestMemory(QuotasContract):
    metadata = test_contents.TestMemory.metadata
    rows = test_metadata.TestMemory.rows


class TestSqlite(QuotasContract):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestSqlite.database
    may_have_tables = test_metadata.TestSqlite.may_have_tables


class ServerContract(QuotasContract):
    """Promises of databases in which several units write at once."""

    async def test_a_page_that_is_moved_holds_up_none_of_its_owners(self, metadata: Metadata) -> None:
        """The unit goes on to lock blobs that the owner has replaced since, which would be a deadlock."""

        async def replace_one() -> None:
            async with asyncio.timeout(AT_ONCE):
                await store(metadata, owned(FIRST, "b", 3), owned(FIRST, "c", 4))

        await add_keys(metadata, FIRST)
        await store(metadata, owned(FIRST, "a", 1), owned(FIRST, "b", 2))
        async with metadata() as work:
            ids = await work.blobs.lock_between("", None, 1)
            await work.trash.move(ids, LONG, NOW)
            assert await work.trash.move_expired(10, NOW) == 0
            await replace_one()
            ids = await work.blobs.lock_between("b", None, 10)
            assert [each.value for each in ids] == ["b", "c"]
            await work.trash.move(ids[:1], LONG, NOW)
            await work.commit()
        assert await stored(metadata) == {FIRST: 4}
        await expect_exact(metadata)


@pytest.mark.docker
class TestPostgresql(ServerContract):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestPostgresql.database
    may_have_tables = test_metadata.TestPostgresql.may_have_tables
    expect_none_open = test_metadata.TestPostgresql.expect_none_open


@pytest.mark.docker
class TestMariadb(ServerContract):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestMariadb.database
    may_have_tables = test_metadata.TestMariadb.may_have_tables
    expect_none_open = test_metadata.TestMariadb.expect_none_open
