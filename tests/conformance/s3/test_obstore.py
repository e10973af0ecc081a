"""obstore, which is Rust's object_store."""

import pytest

from tests.conformance.s3.endpoint import Client


@pytest.mark.parametrize("function", ["transfers", "conditions", "lists", "moves"])
@pytest.mark.usefixtures("bucket")
def test_obstore(client: Client, function: str) -> None:
    client.script("python", "with_obstore", function)
