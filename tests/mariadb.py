"""MariaDB in a container: started once in a session, with an empty database for each test that asks for one."""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any

import aiomysql
import pytest
from sqlalchemy import make_url

from tests.backends import BACKENDS, LOOPBACK


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """The URL of a MariaDB, up to and without the name of a database."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.image import DockerImage
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    image = DockerImage(BACKENDS / "mariadb", tag="drivebay-test-mariadb", clean_up=False).build()
    container = (
        DockerContainer(str(image))
        .with_env("MARIADB_ROOT_PASSWORD", "of the tests")
        .waiting_for(LogMessageWaitStrategy("port: 3306").with_startup_timeout(60))
    )
    container.ports["3306"] = LOOPBACK
    with container:
        yield f"mariadb://root:of%20the%20tests@127.0.0.1:{container.get_exposed_port(3306)}"


@pytest.fixture
def mariadb_url(mariadb_server: str) -> Iterator[str]:
    """The URL of an empty database of its own."""
    name = f"drivebay_{secrets.token_hex(8)}"
    # A collation that folds what it can, so that a comparison by bytes is seen to be the tables' doing.
    create = f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
    asyncio.run(on_mariadb(mariadb_server, create))
    yield f"{mariadb_server}/{name}"
    asyncio.run(on_mariadb(mariadb_server, f"DROP DATABASE {name}"))


async def on_mariadb(server: str, *statements: str) -> list[tuple[Any, ...]]:
    """What the last of the statements returns, made as MariaDB's superuser, beside all databases of the tests."""
    url = make_url(server)
    connection = await aiomysql.connect(host=url.host, port=url.port, user=url.username, password=url.password)
    try:
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
            rows: list[tuple[Any, ...]] = list(await cursor.fetchall())
            return rows
    finally:
        await connection.ensure_closed()
