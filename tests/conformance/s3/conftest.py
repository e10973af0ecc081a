"""Clients of the servers that all tests share."""

from pathlib import Path

import pytest

from tests.conformance.s3.endpoint import Client, Endpoint


@pytest.fixture
def client(endpoint: Endpoint, tmp_path: Path) -> Client:
    """A client with an empty folder, and the name of a bucket that does not exist yet."""
    return Client(endpoint, tmp_path)


@pytest.fixture
def bucket(client: Client) -> str:
    """The bucket of the client, for those that create none."""
    client.endpoint.s3.create_bucket(Bucket=client.bucket)
    return client.bucket
