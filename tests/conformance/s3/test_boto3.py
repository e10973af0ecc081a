"""boto3: transfers in parts, conditions, checksums, lists and errors."""

import pytest

from tests.conformance.s3.endpoint import Client

FUNCTIONS = ["transfers", "presigned", "copies", "deletes", "conditions", "names", "pages", "properties", "refusals"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_boto3(client: Client, function: str) -> None:
    client.script("aws", "with_boto3", function)


def test_boto3_with_the_common_runtime(client: Client) -> None:
    """With this library of Amazon, requests are signed by other code, and there are more checksums."""
    del client.variables["BOTO_DISABLE_CRT"]
    client.script("aws", "with_boto3", "checksums")
