"""A server as its clients see it: an address, a pair of keys and, over TLS, a certificate."""

import os
import secrets
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.session
import httpx
from botocore.config import Config

from tests.conformance.environments import environment
from tests.http import certificates
from tests.http.server import Server

SCRIPTS = Path(__file__).parent / "scripts"
RIGHTS = ["read", "write", "delete", "list", "admin"]
PATIENCE = 300  # seconds, of one client


class TlsServer(Server):
    """A server with a certificate, which clients verify."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.certificate, key = certificates.make(folder)
        super().__init__(folder, TLS_CERTIFICATE=str(self.certificate), TLS_KEY=str(key), **settings)
        self.url = f"https://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        context = ssl.create_default_context(cafile=self.certificate)
        return context.wrap_socket(super().connect(), server_hostname="127.0.0.1")


@dataclass(frozen=True)
class Endpoint:
    """The address of a server, and a pair of keys that has all rights."""

    server: Server
    access_key: str
    secret_key: str
    certificate: Path | None

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def environment(self) -> dict[str, str]:
        """The variables that clients of S3 read. None of them repeats a request that failed."""
        variables = {
            "PATH": os.environ["PATH"],
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_MAX_ATTEMPTS": "1",
            "BOTO_DISABLE_CRT": "true",  # most who have boto3 have it without
        }
        if self.certificate:
            # The first is read by clients of Amazon, the second by programs in Go.
            variables |= {"AWS_CA_BUNDLE": str(self.certificate), "SSL_CERT_FILE": str(self.certificate)}
        return variables

    @cached_property
    def s3(self) -> Any:
        """A client for what tests prepare and look at."""
        return botocore.session.get_session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            verify=str(self.certificate) if self.certificate else None,
            config=Config(s3={"addressing_style": "path"}),
        )

    def fetched(self, url: str) -> bytes:
        """The body of a response to a request without a key."""
        with httpx.Client(verify=ssl.create_default_context(cafile=self.certificate)) as client:
            return client.get(url).raise_for_status().content

    def keys(self, bucket: str) -> list[str]:
        """The keys of all objects in a bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]


@contextmanager
def endpoint_of(server: Server, certificate: Path | None = None) -> Iterator[Endpoint]:
    """Start a server, and yield it with a new pair of keys. No request may have come to a fault of the server."""
    with server:
        with server.client() as client:
            created = client.post("/v1/keys", json={"name": "conformance", "actions": RIGHTS})
            assert created.status_code == 201, created.text
        yield Endpoint(server, created.json()["key"], created.json()["secret"], certificate)
        assert [line for line in server.log() if line["level"] != "info"] == []


class Client:
    """Programs that reach an endpoint, in a folder of their own, with the name of a bucket of their own."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self.bucket = f"conformance-{secrets.token_hex(6)}"
        self.variables = {**endpoint.environment, "HOME": str(folder), "BUCKET": self.bucket}

    def script(self, client: str, name: str, function: str) -> None:
        """Run a function of a script in an environment. Fails with what it said if it fails."""
        python = str(environment(client) / "python")
        self.run(python, str(SCRIPTS / f"{name}.py"), function)

    def run(
        self, *command: str, given: bytes = b"", codes: tuple[int, ...] = (0,), patience: float = PATIENCE
    ) -> bytes:
        """Return the output of a program. Fails if it ends with another code than one of `codes`, or too late."""
        ended = subprocess.run(
            command, cwd=self.folder, env=self.variables, input=given, capture_output=True, timeout=patience
        )
        said = (ended.stdout + ended.stderr)[-6000:].decode(errors="replace")
        assert ended.returncode in codes, f"{' '.join(command)} ended with {ended.returncode}:\n{said}"
        return ended.stdout
