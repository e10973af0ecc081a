"""Delta tables: two writers of one table."""

import pytest

from tests.conformance.s3.endpoint import Client


@pytest.mark.usefixtures("bucket")
def test_two_writers_of_one_table(client: Client) -> None:
    client.script("python", "with_deltalake", "writers")
