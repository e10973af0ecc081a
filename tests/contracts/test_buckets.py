"""Metadata adapters under the contract of buckets."""

import pytest

from tests.contracts import test_contents, test_metadata
from tests.contracts.buckets import BucketsContract


class TestMemory(BucketsContract):
    metadata = test_contents.TestMemory.metadata
    now = test_metadata.TestMemory.now
    rows = test_metadata.TestMemory.rows


class TestSqlite(BucketsContract):
    metadata = test_metadata.DatabaseContract.metadata
    now = test_metadata.DatabaseContract.now
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestSqlite.database
    may_have_tables = test_metadata.TestSqlite.may_have_tables


@pytest.mark.docker
class TestPostgresql(BucketsContract):
    metadata = test_metadata.DatabaseContract.metadata
    now = test_metadata.DatabaseContract.now
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestPostgresql.database
    may_have_tables = test_metadata.TestPostgresql.may_have_tables
    expect_none_open = test_metadata.TestPostgresql.expect_none_open


@pytest.mark.docker
class TestMariadb(BucketsContract):
    metadata = test_metadata.DatabaseContract.metadata
    now = test_metadata.DatabaseContract.now
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestMariadb.database
    may_have_tables = test_metadata.TestMariadb.may_have_tables
    expect_none_open = test_metadata.TestMariadb.expect_none_open
