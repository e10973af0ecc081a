"""MinIO's library for Python."""

import pytest

from tests.conformance.s3.endpoint import Client


@pytest.mark.parametrize("function", ["transfers", "copies", "names", "presigned", "tags", "refusals"])
def test_minio(client: Client, function: str) -> None:
    client.script("python", "with_minio", function)
