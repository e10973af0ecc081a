"""TLS to the databases, and which certificates are good.

Each of the servers has a certificate for `localhost`, and is found by its address too.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.sql.servers.engine import EngineDatabase
from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from domain.errors import BlobError, Kind
from tests.backends import mariadb, postgresql
from tests.backends.mariadb import MariadbWithTls, on_mariadb
from tests.backends.postgresql import Pair, as_operator


def database(url: str) -> EngineDatabase:
    if url.startswith("mariadb"):
        return MariadbDatabase(MariadbConfig(url))
    return PostgresqlDatabase(PostgresqlConfig(url))


async def enter(url: str) -> None:
    async with database(url):
        pass


async def expect_refusal(url: str, why: str) -> None:
    with pytest.raises(BlobError, match=why) as caught:
        await enter(url)
    assert caught.value.kind is Kind.UNAVAILABLE


@pytest.mark.docker
class Certificates:
    """A subclass has fixtures for the `url` of a database, and for the `authority` to trust."""

    @pytest.fixture
    def by_name(self, url: str) -> str:
        return url.replace("127.0.0.1", "localhost")

    @pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
    async def test_the_right_name_is_let_through(self, by_name: str, mode: str, authority: str) -> None:
        await enter(f"{by_name}?sslmode={mode}&sslrootcert={authority}")

    async def test_a_trusted_certificate_for_another_name_is_refused(self, url: str, authority: str) -> None:
        trusted = f"sslrootcert={authority}"
        why = r"certificate is not valid for '127\.0\.0\.1'\. Use a host name that is in the certificate"
        await expect_refusal(f"{url}?sslmode=verify-full&{trusted}", why)
        for mode in ("require", "verify-ca"):  # which leave the name out
            await enter(f"{url}?sslmode={mode}&{trusted}")

    @pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
    @pytest.mark.parametrize("trusted", ["", "&sslrootcert=system"])
    async def test_the_authorities_of_the_machine_are_the_default(
        self, by_name: str, mode: str, trusted: str, authority: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        url = f"{by_name}?sslmode={mode}{trusted}"
        await expect_refusal(
            url, r"its certificate is not good: self-signed .*Set sslrootcert \(or ssl-ca\) to a PEM file"
        )
        monkeypatch.setenv("SSL_CERT_FILE", authority)  # where OpenSSL finds those of the machine
        await enter(url)

    async def test_encryption_needs_no_authority(self, url: str) -> None:
        await enter(f"{url}?sslmode=require")
        await enter(url)


class TestPostgresql(Certificates):
    @pytest.fixture
    def url(self, postgresql_pair: Pair) -> Iterator[str]:
        with postgresql.database(postgresql_pair.primary) as url:
            yield url

    @pytest.fixture
    def authority(self, postgresql_pair: Pair) -> str:
        return postgresql_pair.authority

    async def test_the_authority_in_the_home_folder_is_taken_first(
        self, by_name: str, authority: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".postgresql").mkdir()
        (tmp_path / ".postgresql" / "root.crt").symlink_to(authority)
        await enter(f"{by_name}?sslmode=verify-full")

    async def test_a_server_without_tls(self, postgresql_url: str) -> None:
        await enter(postgresql_url)
        for mode in ("require", "verify-full"):
            await expect_refusal(f"{postgresql_url}?sslmode={mode}", r"offers no TLS\. Switch that on there, or take")

    async def test_a_server_that_demands_tls(self, url: str, postgresql_pair: Pair) -> None:
        name = url.rpartition("/")[2]
        rule = f"hostnossl {name} all all reject"
        await self.change_rules(postgresql_pair, f"sed -i '1i {rule}'")
        try:
            await enter(url)
            await expect_refusal(f"{url}?sslmode=disable", "no encryption.*Take sslmode=disable out of the URL")
        finally:
            await self.change_rules(postgresql_pair, "sed -i 1d")

    async def change_rules(self, pair: Pair, edit: str) -> None:
        """Edit pg_hba.conf in the server's own shell."""
        [[file]] = await as_operator(pair.primary, "SHOW hba_file")
        await as_operator(pair.primary, f"COPY (SELECT 1) TO PROGRAM $$ {edit} {file} $$")
        await as_operator(pair.primary, "SELECT pg_reload_conf()")


class TestMariadb(Certificates):
    @pytest.fixture
    def url(self, mariadb_with_tls: MariadbWithTls) -> Iterator[str]:
        with mariadb.database(mariadb_with_tls.url) as url:
            yield url

    @pytest.fixture
    def authority(self, mariadb_with_tls: MariadbWithTls) -> str:
        return mariadb_with_tls.authority

    async def test_a_server_without_tls(self, mariadb_url: str) -> None:
        await enter(mariadb_url)
        for mode in ("require", "verify-full"):
            await expect_refusal(f"{mariadb_url}?sslmode={mode}", r"offers no TLS\. Switch TLS on there, or take")

    async def test_a_server_that_demands_tls(self, url: str) -> None:
        await expect_refusal(f"{url}?sslmode=disable", r"insecure transport.*=ON\. Take ssl-mode out of the URL")

    async def test_a_user_who_must_use_tls(self, url: str, mariadb_with_tls: MariadbWithTls) -> None:
        name = url.rpartition("/")[2]
        server = mariadb_with_tls.url
        await on_mariadb(
            server, f"CREATE USER {name} IDENTIFIED BY 'p' REQUIRE SSL", f"GRANT ALL ON {name}.* TO {name}"
        )
        try:
            await enter(url.replace("root:of%20the%20tests", f"{name}:p"))
        finally:
            await on_mariadb(server, f"DROP USER {name}")

    async def test_the_password_is_kept_from_a_server_without_tls(self) -> None:
        greeting = b"\x0a11.8.0-MariaDB\0" + b"\1\0\0\0" + b"saltsalt\0" + b"\xff\xf7\x2d\2\0\xff\xff\x15" + b"\0" * 10
        greeting += b"saltsaltsalt\0mysql_native_password\0"
        learned = asyncio.get_running_loop().create_future()

        async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
            learned.set_result(await reader.read())
            writer.close()

        async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await expect_refusal(f"mariadb://u:p@127.0.0.1:{port}/d?sslmode=require", "the server offers no TLS")
            assert await learned == b""


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
@pytest.mark.parametrize("content", [None, b"this is no certificate"])
async def test_a_file_without_an_authority_is_named(tmp_path: Path, content: bytes | None, kind: str) -> None:
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_bytes(content)
    await expect_refusal(
        f"{kind}://u:p@127.0.0.1:1/d?sslmode=verify-full&sslrootcert={path}",
        rf"The file {path} that sslrootcert \(or ssl-ca\) names can't be used",
    )
