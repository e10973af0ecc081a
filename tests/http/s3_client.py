"""A client of S3: botocore, with a key that the server has issued."""

from functools import cache
from threading import Lock
from typing import Any, Literal

import botocore.session
import httpx
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.http.server import Server

Style = Literal["path", "virtual"]
EVERYTHING = ["read", "write", "delete", "list"]
ONE_AT_A_TIME = Lock()  # a session may be used by one thread


@cache
def session() -> botocore.session.Session:
    """Return the session of this process: a new one takes 0.1 s to read the description of the S3 API."""
    return botocore.session.Session()


def key_pair(server: Server, *actions: str, **members: Any) -> tuple[str, str]:
    """Create a key, and return its id and its secret. It may do everything, or these actions only."""
    with server.client() as client:
        created = client.post("/v1/keys", json={"name": "s3", "actions": list(actions or EVERYTHING), **members})
    assert created.status_code == 201, created.text
    return created.json()["key"], created.json()["secret"]


def s3_client(server: Server, pair: tuple[str, str] | None = None, url: str = "", style: Style = "path") -> Any:
    """Return a client with a key, or with a new one that may do everything."""
    key_id, secret = pair or key_pair(server)
    with ONE_AT_A_TIME:
        client: BaseClient = session().create_client(
            "s3",
            endpoint_url=url or server.url,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(
                retries={"total_max_attempts": 1},
                s3={"addressing_style": style},
                signature_version="s3v4",
                read_timeout=40,
            ),
        )
    return client


def refused(error: ClientError) -> tuple[int, str]:
    """Return the status and the code of a refusal."""
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def code_of(response: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a refusal."""
    return response.status_code, response.text.partition("<Code>")[2].partition("</Code>")[0]
