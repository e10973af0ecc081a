"""Locks as OpenTofu and Terraform keep them in a bucket: of many that create one at the same time, one succeeds."""

from tests.conformance.s3.endpoint import Client


def test_of_many_that_create_a_lock_one_succeeds(client: Client) -> None:
    client.script("aws", "with_boto3", "lock")
