"""The backends as fixtures, started as soon as it is known which tests are going to run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.storage.s3.config import S3Config
from tests.backends import ceph, clients, ftp, mariadb, pgbouncer, postgresql, promtool
from tests.backends.ftp import FtpServer
from tests.backends.mariadb import MariadbWithTls
from tests.backends.pgbouncer import Pgbouncer
from tests.backends.postgresql import Pair
from tests.backends.run import Backends, a_run

# By the names of their fixtures.
SERVERS: dict[str, Callable[..., Any]] = {
    "postgresql_server": postgresql.start_without_syncs,
    "postgresql_pair": postgresql.start_pair,
    "pgbouncer_server": pgbouncer.start,
    "mariadb_server": mariadb.start_in_memory,
    "mariadb_with_tls": mariadb.start_with_tls,
    "s3_server": ceph.start,
    "vsftpd_server": ftp.start_vsftpd,
    "proftpd_server": ftp.start_proftpd,
    "clients_container": clients.start,
    "promtool_container": promtool.start,
}
BACKENDS = pytest.StashKey[Backends]()


@pytest.fixture(scope="session")
def backends(pytestconfig: pytest.Config) -> Backends:
    return pytestconfig.stash[BACKENDS]


@pytest.fixture(scope="session")
def postgresql_server(backends: Backends) -> str:
    """The URL of a PostgreSQL, up to and without the name of a database."""
    return backends.address(postgresql.start_without_syncs)


@pytest.fixture(scope="session")
def postgresql_pair(backends: Backends) -> Pair:
    """A PostgreSQL and its standby."""
    return backends.address(postgresql.start_pair)


@pytest.fixture(scope="session")
def pgbouncer_server(backends: Backends) -> Pgbouncer:
    """A PgBouncer for each of its modes, in front of a PostgreSQL."""
    return backends.address(pgbouncer.start)


@pytest.fixture(scope="session")
def mariadb_server(backends: Backends) -> str:
    """The URL of a MariaDB, up to and without the name of a database."""
    return backends.address(mariadb.start_in_memory)


@pytest.fixture(scope="session")
def mariadb_with_tls(backends: Backends) -> MariadbWithTls:
    """A MariaDB that demands TLS."""
    return backends.address(mariadb.start_with_tls)


@pytest.fixture(scope="session")
def s3_server(backends: Backends) -> S3Config:
    """A Ceph RADOS gateway."""
    return backends.address(ceph.start)


@pytest.fixture(scope="class")
def s3_bucket(s3_server: S3Config) -> Iterator[S3Config]:
    """A bucket there for the tests of one class, each of which leaves it as empty as it found it."""
    with ceph.bucket(s3_server) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def vsftpd_server(backends: Backends) -> FtpServer:
    """A vsftpd with explicit TLS."""
    return backends.address(ftp.start_vsftpd)


@pytest.fixture(scope="session")
def proftpd_server(backends: Backends) -> FtpServer:
    """A ProFTPD with explicit TLS."""
    return backends.address(ftp.start_proftpd)


@pytest.fixture(scope="session")
def clients_container(backends: Backends) -> str:
    """The id of a container with curl, wget and aria2c."""
    return backends.address(clients.start)


@pytest.fixture(scope="session")
def promtool_container(backends: Backends) -> str:
    """The id of a container with promtool."""
    return backends.address(promtool.start)


@pytest.fixture
def start_ftp(backends: Backends) -> Iterator[Callable[..., FtpServer]]:
    """Starts servers for one test alone: `start_ftp("vsftpd", tls="implicit", max_clients=2, disk=4 << 20)`."""
    containers = backends.containers()
    try:
        yield partial(ftp.start, containers, ports=ftp.FEW_PORTS)
    finally:
        containers.stop()


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database of its own."""
    with postgresql.database(postgresql_server) as url:
        yield url


@pytest.fixture(scope="class")
def class_postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of a database for the tests of one class, each of which leaves it as empty as it found it.

    To make one, and its tables, takes half a second.
    """
    with postgresql.database(postgresql_server) as url:
        yield url


@pytest.fixture
def pgbouncer_url(pgbouncer_server: Pgbouncer) -> Iterator[str]:
    """The URL of an empty database of its own, behind a pooler by transaction."""
    with postgresql.database(pgbouncer_server.server) as url:
        yield f"{pgbouncer_server.transaction}/{url.rpartition('/')[2]}"


@pytest.fixture(scope="class")
def class_pgbouncer_url(pgbouncer_server: Pgbouncer) -> Iterator[str]:
    """The URL of a database for the tests of one class, behind a pooler by transaction."""
    with postgresql.database(pgbouncer_server.server) as url:
        yield f"{pgbouncer_server.transaction}/{url.rpartition('/')[2]}"


@pytest.fixture(scope="class")
def class_mariadb_url(mariadb_server: str) -> Iterator[str]:
    """Likewise."""
    with mariadb.database(mariadb_server) as url:
        yield url


@pytest.fixture
def mariadb_url(mariadb_server: str) -> Iterator[str]:
    """The URL of an empty database of its own."""
    with mariadb.database(mariadb_server) as url:
        yield url


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of the run, or take that of the process which started this one."""
    given: dict[str, str] | None = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[BACKENDS] = Backends(Path(given["backends"]))
        return
    run = ExitStack()
    config.add_cleanup(run.close)
    config.stash[BACKENDS] = run.enter_context(a_run())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["backends"] = str(node.config.stash[BACKENDS].folder)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what the tests need that are left in, and go on."""
    if session.config.option.collectonly:
        return
    needed = [item for item in session.items if not item.get_closest_marker("skip")]
    for name in {name for item in needed for name in getattr(item, "fixturenames", ())} & SERVERS.keys():
        session.config.stash[BACKENDS].start(SERVERS[name])
