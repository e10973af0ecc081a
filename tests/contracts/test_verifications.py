"""Metadata adapters under the contract of verifications."""

import pytest

from tests.contracts import test_contents, test_metadata
from tests.contracts.verifications import VerificationsContract


class TestMemory(VerificationsContract):
    metadata = test_contents.TestMemory.metadata
    rows = test_metadata.TestMemory.rows


class TestSqlite(VerificationsContract):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestSqlite.database
    may_have_tables = test_metadata.TestSqlite.may_have_tables


@pytest.mark.docker
class TestPostgresql(VerificationsContract):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestPostgresql.database
    may_have_tables = test_metadata.TestPostgresql.may_have_tables
    expect_none_open = test_metadata.TestPostgresql.expect_none_open


@pytest.mark.docker
class TestMariadb(VerificationsContract):
    metadata = test_metadata.DatabaseContract.metadata
    rows = test_metadata.DatabaseContract.rows
    database = test_metadata.TestMariadb.database
    may_have_tables = test_metadata.TestMariadb.may_have_tables
    expect_none_open = test_metadata.TestMariadb.expect_none_open
