"""restic and duplicity, as Debian packages them: a folder is kept, restored and verified."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.backends.containers import engine
from tests.backends.run import Backends
from tests.conformance.s3.endpoint import Client
from tests.conformance.s3.full import backup

FILES = "mkdir -p up/sub && head -c 20000000 /dev/urandom > up/sub/large && seq 1000 > 'up/a b+ü' && : > up/empty"
SAME = "(cd up && find . -type f -exec sha256sum {} +) | sort > wanted && (cd down && sha256sum --check ../wanted)"


class Shell:
    """A shell in a container, in a folder of its own, with the variables of a client."""

    def __init__(self, container: Any, client: Client) -> None:
        self._container = container
        self._folder = f"/tmp/{secrets.token_hex(8)}"  # noqa: S108 - the container's
        self._variables = client.variables | {"HOME": self._folder, "PATH": "/usr/bin:/bin"}
        given = client.endpoint.certificate
        pem = given.read_text() if given else ""
        self._variables |= {"PEM": pem, "AWS_CA_BUNDLE": f"{self._folder}/ca", "SSL_CERT_FILE": f"{self._folder}/ca"}
        container.exec_run(["mkdir", self._folder])
        self.run('printf %s "$PEM" > ca')
        if not pem:
            del self._variables["AWS_CA_BUNDLE"], self._variables["SSL_CERT_FILE"]

    def run(self, command: str) -> str:
        """Return the output of a command. Fails with it if the command fails."""
        arguments = ["timeout", "200", "sh", "-e", "-c", command]
        code, output = self._container.exec_run(arguments, workdir=self._folder, environment=self._variables)
        said: str = output.decode(errors="replace")
        assert code == 0, f"{command} ended with {code}:\n{said[-6000:]}"
        return said


@pytest.fixture
def shell(client: Client, bucket: str, backends: Backends) -> Iterator[Shell]:
    container = backends.address(backup.start)
    with engine() as docker:
        yield Shell(docker.containers.get(container), client)


@pytest.mark.docker
class TestBackups:
    def test_restic(self, shell: Shell, client: Client) -> None:
        shell.run(FILES)
        restic = f"export RESTIC_PASSWORD=p RESTIC_REPOSITORY=s3:{client.endpoint.url}/{client.bucket}/kept; restic"
        shell.run(f"{restic} init")
        shell.run(f"{restic} backup up")
        shell.run("echo more >> up/empty")
        shell.run(f"{restic} backup up")
        shell.run(f"{restic} check --read-data")
        shell.run(f"{restic} forget --keep-last 1 --prune")
        shell.run(f"{restic} restore latest --target restored && mv restored/up down")
        shell.run(SAME)

    def test_duplicity(self, shell: Shell, client: Client) -> None:
        shell.run(FILES)
        options = f"--no-encryption --s3-endpoint-url {client.endpoint.url} --s3-region-name us-east-1"
        there = f"boto3+s3://{client.bucket}/kept"
        shell.run(f"duplicity full {options} --volsize 8 up {there}")
        shell.run("echo more >> up/empty")
        shell.run(f"duplicity incremental {options} up {there}")
        shell.run(f"duplicity verify {options} --compare-data {there} up")
        shell.run(f"duplicity restore {options} {there} down")
        shell.run(SAME)
