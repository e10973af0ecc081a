"""What servers refuse, and what `drivebay check` says to do about it."""

import asyncio
import ftplib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from adapters.storage.s3.config import S3Config
from tests.backends import ceph, ftp, mariadb
from tests.backends.ftp import FtpServer
from tests.check.command import check
from tests.check.output import SECRET, fault, prepare

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

ALL = "Check FTP_HOST, FTP_PORT, FTP_USER or FTP_PASSWORD."
RIGHTS = "Grant the user of DATABASE_URL SELECT, INSERT, UPDATE and DELETE on all tables."


class TestPostgresql:
    @pytest.mark.parametrize(
        ("change", "why"),
        [
            (("of%20the%20tests", SECRET), '"postgres". Check the user and the password.'),
            (("/drivebay_", "/nothing_"), "does not exist. Create it, or set the name of another."),
        ],
    )
    def test_that_lets_nobody_in(self, tmp_path: Path, postgresql_url: str, change: tuple[str, str], why: str) -> None:
        result = check(tmp_path, {"DATABASE_URL": postgresql_url.replace(*change)})
        detail, to_do = fault(result, "database", "connect")
        assert why in detail
        assert to_do == "Check DATABASE_URL."

    def test_that_lets_its_tables_only_be_read(self, tmp_path: Path, postgresql_url: str) -> None:
        prepare(tmp_path, {"DATABASE_URL": postgresql_url})
        role = "reader_" + postgresql_url.rpartition("_")[2]
        asyncio.run(_on_postgresql(postgresql_url, f"CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'"))
        asyncio.run(_on_postgresql(postgresql_url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
        try:
            url = f"postgresql://{role}:{SECRET}@{postgresql_url.rpartition('@')[2]}"
            result = check(tmp_path, {"DATABASE_URL": url})
        finally:
            asyncio.run(_on_postgresql(postgresql_url, f"DROP OWNED BY {role}; DROP ROLE {role}"))
        detail, to_do = fault(result, "database", "write")
        assert "can't write: PostgreSQL can't be used: " in detail
        assert "permission denied for table uploads" in detail
        assert to_do == RIGHTS
        assert result.states["storage fs"] == "not yet", "no probe is written that can't be noted"


async def _on_postgresql(url: str, statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


class TestMariadb:
    def test_that_lets_nobody_in(self, tmp_path: Path, mariadb_url: str) -> None:
        result = check(tmp_path, {"DATABASE_URL": mariadb_url.replace("of%20the%20tests", SECRET)})
        detail, to_do = fault(result, "database", "connect")
        assert "Check the user and the password." in detail
        assert to_do == "Check DATABASE_URL."

    def test_that_lets_its_tables_only_be_read(self, tmp_path: Path, mariadb_url: str) -> None:
        prepare(tmp_path, {"DATABASE_URL": mariadb_url})
        server, _, name = mariadb_url.rpartition("/")
        user = "reader" + name[-16:]
        asyncio.run(
            mariadb.on_mariadb(
                server, f"CREATE USER {user} IDENTIFIED BY '{SECRET}'", f"GRANT SELECT ON {name}.* TO {user}"
            )
        )
        try:
            url = f"mariadb://{user}:{SECRET}@{mariadb_url.rpartition('@')[2]}"
            result = check(tmp_path, {"DATABASE_URL": url})
        finally:
            asyncio.run(mariadb.on_mariadb(server, f"DROP USER {user}"))
        detail, to_do = fault(result, "database", "write")
        assert "INSERT command denied" in detail
        assert to_do == RIGHTS


class TestS3:
    @pytest.fixture
    def bucket(self, s3_server: S3Config, tmp_path: Path) -> Iterator[S3Config]:
        prepare(tmp_path)
        with ceph.bucket(s3_server) as bucket:
            yield bucket

    @pytest.mark.parametrize(
        ("change", "why"),
        [
            ({"S3_BUCKET": "nobodys"}, "Create it, or check S3_BUCKET."),
            ({"S3_ACCESS_KEY": "wrong"}, "Check S3_ACCESS_KEY and S3_SECRET_KEY."),
            ({"S3_SECRET_KEY": SECRET}, "Check S3_ACCESS_KEY and S3_SECRET_KEY."),
        ],
    )
    def test_with_something_wrong(self, tmp_path: Path, bucket: S3Config, change: dict[str, str], why: str) -> None:
        result = check(tmp_path, ceph.settings(bucket) | change)
        _, to_do = fault(result, "storage s3", "reach")
        assert to_do == why

    def test_that_lets_its_objects_only_be_read(self, tmp_path: Path, bucket: S3Config) -> None:
        asyncio.run(_deny(bucket, "s3:PutObject"))
        result = check(tmp_path, ceph.settings(bucket))
        detail, to_do = fault(result, "storage s3", "write")
        assert "(AccessDenied)" in detail
        assert "Let the owner of S3_ACCESS_KEY do s3:PutObject" in to_do


async def _deny(bucket: S3Config, action: str) -> None:
    resource = f"arn:aws:s3:::{bucket.bucket}/*"
    statement: Any = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource}
    async with ceph.client(bucket) as s3:
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        await s3.put_bucket_policy(Bucket=bucket.bucket, Policy=policy)


class TestFtp:
    @pytest.mark.parametrize(
        ("change", "why", "advice"),
        [
            ({"FTP_PASSWORD": SECRET}, "530", "Check FTP_USER and FTP_PASSWORD."),
            # It signs itself, and the system's authorities don't know it.
            ({"FTP_CA_FILE": ""}, "Its certificate is not good: self-signed certificate. FTP_CA_FILE takes its", ALL),
            ({"FTP_TLS": "implicit"}, "can't be used", ALL),
        ],
    )
    def test_with_something_wrong(
        self, tmp_path: Path, vsftpd_server: FtpServer, change: dict[str, str], why: str, advice: str
    ) -> None:
        prepare(tmp_path)
        result = check(tmp_path, ftp.settings(vsftpd_server) | change)
        detail, to_do = fault(result, "storage ftp", "reach")
        assert why in detail
        assert to_do == advice

    def test_that_lets_its_files_only_be_read(self, tmp_path: Path, vsftpd_server: FtpServer) -> None:
        prepare(tmp_path)
        context = ssl.create_default_context(cafile=vsftpd_server.certificate)
        with ftplib.FTP_TLS(context=context) as client:
            client.connect(vsftpd_server.host, vsftpd_server.port, timeout=20)
            client.login(vsftpd_server.user, vsftpd_server.password)
            for folder in ("read-only", "read-only/drivebay"):
                client.mkd(folder)
            client.sendcmd("SITE CHMOD 555 read-only")
            result = check(tmp_path, ftp.settings(vsftpd_server) | {"FTP_BASE_DIR": "read-only"})
            client.sendcmd("SITE CHMOD 755 read-only")
        detail, to_do = fault(result, "storage ftp", "write")
        assert "The server says: 553" in detail
        assert to_do == "Let FTP_USER store, read, list and delete files, and make folders, in FTP_BASE_DIR."
