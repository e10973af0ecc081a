"""Whom PostgreSQL's certificate is taken for: it must be signed by an authority that is trusted, and be the host's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.sql.postgresql import PostgresqlConfig, PostgresqlDatabase
from domain.errors import DriveError, Kind
from tests.backends import postgresql
from tests.backends.postgresql import Pair


@pytest.fixture
def url(postgresql_pair: Pair) -> Iterator[str]:
    """The URL of an empty database on a server whose certificate is for `localhost`, by its address."""
    with postgresql.database(postgresql_pair.primary) as url:
        yield url


@pytest.fixture
def by_name(url: str) -> str:
    return url.replace("127.0.0.1", "localhost")


async def enter(url: str) -> None:
    async with PostgresqlDatabase(PostgresqlConfig(url)):
        pass


async def expect_refusal(url: str, why: str) -> None:
    with pytest.raises(DriveError, match=why) as caught:
        await enter(url)
    assert caught.value.kind is Kind.UNAVAILABLE


@pytest.mark.docker
class TestPostgresql:
    async def test_the_right_name_is_let_through(self, by_name: str, postgresql_pair: Pair) -> None:
        await enter(f"{by_name}?sslmode=verify-full&sslrootcert={postgresql_pair.authority}")

    async def test_a_trusted_certificate_for_another_name_is_refused(self, url: str, postgresql_pair: Pair) -> None:
        trusted = f"sslrootcert={postgresql_pair.authority}"
        await expect_refusal(f"{url}?sslmode=verify-full&{trusted}", "certificate is not valid for '127.0.0.1'")
        await enter(f"{url}?sslmode=verify-ca&{trusted}")  # which leaves the name out

    @pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
    async def test_an_authority_that_is_not_trusted_is_refused(self, by_name: str, mode: str) -> None:
        await expect_refusal(f"{by_name}?sslmode={mode}&sslrootcert=system", "its certificate is not good: self-signed")

    async def test_the_authority_in_the_home_folder_is_the_default(
        self, by_name: str, postgresql_pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        await expect_refusal(f"{by_name}?sslmode=verify-full", "Set sslrootcert to a PEM file, or to system")
        (tmp_path / ".postgresql").mkdir()
        (tmp_path / ".postgresql" / "root.crt").symlink_to(postgresql_pair.authority)
        await enter(f"{by_name}?sslmode=verify-full")


@pytest.mark.parametrize("content", [None, b"this is no certificate"])
async def test_a_file_without_an_authority_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "authorities.pem"
    if content is not None:
        path.write_bytes(content)
    await expect_refusal(
        f"postgresql://u:p@127.0.0.1:1/d?sslmode=verify-full&sslrootcert={path}",
        rf"The file {path} that sslrootcert names can't be used",
    )
