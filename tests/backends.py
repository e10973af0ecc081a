"""The backends in containers: built from docker/backends, started once in a session, each on a port of 127.0.0.1."""

import asyncio
import gc
import os
import secrets
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from adapters.storage.s3 import S3Config

# The fixtures clean up after themselves, and talk to loopback alone.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
os.environ.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
os.environ.setdefault("TC_HOST", "127.0.0.1")

LOOPBACK: Any = ("127.0.0.1", None)  # any free port there, in docker-py's words: testcontainers has none for it
BACKENDS = Path(__file__).parent.parent / "docker" / "backends"


def docker_answers() -> bool:
    """Whether there is a Docker engine here."""
    from docker.errors import DockerException

    import docker

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # where there is none, it forgets to close its socket
        try:
            with closing(docker.from_env()) as client:
                return bool(client.ping())
        except DockerException:
            return False
        finally:
            gc.collect()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL, up to and without the name of a database."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.image import DockerImage
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    image = DockerImage(BACKENDS / "postgres", tag="drivebay-test-postgres", clean_up=False).build()
    container = (
        DockerContainer(str(image))
        .with_env("POSTGRES_PASSWORD", "of the tests")
        .waiting_for(LogMessageWaitStrategy("ready to accept connections").with_startup_timeout(60))
    )
    container.ports["5432"] = LOOPBACK
    with container:
        yield f"postgresql://postgres:of%20the%20tests@127.0.0.1:{container.get_exposed_port(5432)}"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Config]:
    """A bucket on a Ceph RADOS gateway."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.image import DockerImage
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    image = DockerImage(BACKENDS / "ceph", tag="drivebay-test-ceph", clean_up=False).build()
    config = S3Config("drivebay", access_key="key-of-the-tests", secret_key="secret-of-the-tests", path_style=True)
    container = (
        DockerContainer(str(image))
        .with_envs(S3_ACCESS_KEY=config.access_key, S3_SECRET_KEY=config.secret_key, S3_BUCKET=config.bucket)
        .waiting_for(LogMessageWaitStrategy("ceph: ready").with_startup_timeout(90))
    )
    container.ports["7480"] = LOOPBACK
    with container:
        yield replace(config, endpoint=f"http://127.0.0.1:{container.get_exposed_port(7480)}")


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database of its own."""
    name = f"drivebay_{secrets.token_hex(8)}"
    # A language's own order, so that an order by bytes is seen to be the tables' doing.
    create = f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    asyncio.run(as_operator(postgresql_server, create))
    yield f"{postgresql_server}/{name}"
    asyncio.run(as_operator(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)"))


async def as_operator(server: str, statement: str) -> list[asyncpg.Record]:
    """What a statement returns that is made as PostgreSQL's superuser, beside all databases of the tests."""
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement)
        return rows
    finally:
        await connection.close()
