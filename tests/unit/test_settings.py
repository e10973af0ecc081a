"""The settings: both source documents' names, where they come from, and what is said when they are wrong."""

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import Any

import pytest

from entrypoints.config.loading import load, load_all
from entrypoints.config.settings import SECRETS, Settings, SettingsError

NOWHERE = Path("/nonexistent/.env")
ROOT = Path(__file__).parents[2]
OTEL = "OTEL_EXPORTER_OTLP_ENDPOINT"

FIRST_DOCUMENT = """
SECRET_KEY = "a-very-secret-key"

# Local storage config
LOCAL_STORAGE_PATH = "/path/to/your/storage"

# Configuration for S3 storage
S3_ACCESS_KEY_ID = "xxxxx"
S3_SECRET_ACCESS_KEY = "xxxxxx"
S3_BUCKET_NAME = "xxxxx"
S3_REGION_NAME = "xxxxx"

ACTIVE_STORAGE="local"  # or "database"

# Settings for Postgresql database storage
DB_USER = "your_db_user"
DB_PASSWORD = "your_db_password"
DB_HOST = "localhost"
DB_PORT = 3306
DB_NAME = "your_db_name"
"""

SECOND_DOCUMENT = """
AUTH_BEARER_TOKEN=dev-secret-123
STORAGE=fs
FS_BASE_PATH=./storage
DATABASE_URL=sqlite:///./metadata.db

S3_ENDPOINT=https://s3.eu-north-1.amazonaws.com
S3_FORCE_PATH_STYLE=false
FTP_HOST=ftp.drivehq.com
FTP_PORT=21
"""


def from_file(folder: Path, text: str, **environment: str) -> Settings:
    (folder / ".env").write_text(text)
    return load(environment, folder / ".env")


def hashes(*tokens: str) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(token.encode()).digest() for token in tokens)


def fault(**environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environment, NOWHERE)
    return str(caught.value)


class TestBothDocuments:
    def test_the_first(self, tmp_path: Path) -> None:
        settings = from_file(tmp_path, FIRST_DOCUMENT)
        assert settings.tokens == hashes("a-very-secret-key")
        assert (settings.storage, settings.backends["fs"].base_path) == ("fs", Path("/path/to/your/storage"))
        assert settings.database_url == "postgresql://your_db_user:your_db_password@localhost:3306/your_db_name"
        assert (settings.backends["s3"].bucket, settings.backends["s3"].region) == ("xxxxx", "xxxxx")
        assert (settings.backends["s3"].access_key, settings.backends["s3"].secret_key) == ("xxxxx", "xxxxxx")

    def test_the_second(self, tmp_path: Path) -> None:
        settings = from_file(tmp_path, SECOND_DOCUMENT)
        assert settings.tokens == hashes("dev-secret-123")
        assert (settings.storage, settings.backends["fs"].base_path) == ("fs", Path("storage"))
        assert (settings.database, settings.sqlite_path) == ("sqlite", Path("metadata.db"))


class TestDefaults:
    def test_nothing_has_to_be_set(self) -> None:
        settings = load({}, NOWHERE)
        assert settings == Settings()
        assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
        assert settings.max_blob_bytes == 5 * 1024**3
        assert settings.sqlite_path == Path("data/drivebay.db")

    def test_they_follow_the_data_folder(self) -> None:
        settings = load({"DATA_DIR": "/srv/drivebay"}, NOWHERE)
        assert settings.sqlite_path == Path("/srv/drivebay/drivebay.db")
        assert settings.backends["fs"].base_path == Path("/srv/drivebay/blobs")

    def test_an_empty_value_is_none(self) -> None:
        assert load({"STORAGE": "", "AUTH_BEARER_TOKEN": "", "PORT": ""}, NOWHERE) == Settings()


class TestServices:
    """What Kubernetes puts into the environment for Services named `db` and `ftp`."""

    DB, FTP = "tcp://10.96.12.3:5432", "tcp://10.96.12.4:21"

    def test_their_addresses_are_ignored_and_logged(self, tmp_path: Path) -> None:
        loaded = load_all({"DB_PORT": self.DB, "FTP_PORT": self.FTP, "DB_SERVICE_HOST": "10.96.12.3"}, NOWHERE)
        assert loaded.settings == Settings()
        assert loaded.hints == tuple(
            f"{name}_PORT in the environment has no effect: Kubernetes sets it for a Service named {name.lower()}."
            for name in ("DB", "FTP")
        )
        assert load({"DB_PORT": self.DB, "DATABASE_URL": "mariadb://u@h/n"}, NOWHERE).database_url == "mariadb://u@h/n"

    def test_a_number_in_a_file_is_taken_instead(self, tmp_path: Path) -> None:
        in_file = from_file(
            tmp_path, "DB_HOST=h\nDB_PORT=1\nDB_USER=u\nDB_NAME=n\nFTP_PORT=2", DB_PORT=self.DB, FTP_PORT=self.FTP
        )
        assert (in_file.database_url, in_file.backends["ftp"].port) == ("postgresql://u@h:1/n", 2)

    def test_they_are_named_where_a_number_is_missed(self) -> None:
        database = {"DB_HOST": "db", "DB_USER": "u", "DB_NAME": "n"}
        assert fault(**database, DB_PORT=self.DB) == (
            f"DB_PORT: '{self.DB}' is what Kubernetes sets for a Service named db."
            " Set DB_PORT to a number in the pod, or enableServiceLinks to false."
        )
        assert fault(FTP_HOST="ftp", FTP_PORT=self.FTP).startswith(
            f"FTP_PORT: '{self.FTP}' is what Kubernetes sets for"
        )
        assert fault(PORT=self.DB).startswith("PORT: ")


class TestSources:
    def test_a_folder_that_is_denied_has_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As for another user than that of the current folder: `sudo -u drivebay`, or an image with any user id."""

        stat = os.stat

        def denied(path: Path, **more: Any) -> os.stat_result:
            if Path(path).name == ".env":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return stat(path, **more)

        monkeypatch.setattr(os, "stat", denied)
        assert load({}, tmp_path / ".env") == Settings()

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
    def test_one_that_is_there_and_can_not_be_looked_at_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        """A link into a folder that is denied, or a network that is away: without it, the server would be another."""
        (tmp_path / ".env").symlink_to(tmp_path / "denied")
        stat = os.stat

        def denied(path: Path, **more: Any) -> os.stat_result:
            if Path(path).name == ".env" and more.get("follow_symlinks", True):
                raise OSError(number, os.strerror(number))
            return stat(path, **more)

        monkeypatch.setattr(os, "stat", denied)
        with pytest.raises(SettingsError, match=r"\.env can't be read: "):
            load({}, tmp_path / ".env")

    def test_the_environment_is_over_the_file(self, tmp_path: Path) -> None:
        assert from_file(tmp_path, "PORT=1\nHOST=a", PORT="2") == Settings(port=2, host="a")

    def test_also_under_another_name(self, tmp_path: Path) -> None:
        assert from_file(tmp_path, "SECRET_KEY=old", AUTH_BEARER_TOKEN="new").tokens == hashes("new")
        assert from_file(tmp_path, "DB_HOST=h\nDB_USER=u\nDB_NAME=n", DATABASE_URL="sqlite:///a").database == "sqlite"
        assert from_file(tmp_path, "DATABASE_URL=sqlite:///a", DB_HOST="h", DB_USER="u", DB_NAME="n").database_url == (
            "postgresql://u@h:5432/n"
        )

    def test_parts_of_the_database_may_come_from_both(self, tmp_path: Path) -> None:
        settings = from_file(tmp_path, "DB_USER=me@home\nDB_HOST=h\nDB_NAME=a/b", DB_PASSWORD="p:/@%")
        assert settings.database_url == "postgresql://me%40home:p%3A%2F%40%25@h:5432/a%2Fb"

    def test_the_file_is_taken_as_it_is(self, tmp_path: Path) -> None:
        settings = from_file(tmp_path, "AUTH_BEARER_TOKEN='$a${b}'  # mine\nexport PORT = 81")
        assert (settings.tokens, settings.port) == (hashes("$a${b}"), 81)

    def test_a_file_may_be_named_and_is_over_the_other(self, tmp_path: Path) -> None:
        (tmp_path / "named").write_text("PORT=1\nHOST=b")
        named = {"DRIVEBAY_ENV_FILE": str(tmp_path / "named")}
        assert from_file(tmp_path, "PORT=2\nWORKERS=3", HOST="a", **named) == Settings(port=1, host="a", workers=3)
        assert load(named, NOWHERE).port == 1
        with pytest.raises(SettingsError, match=r"nowhere can't be read: .*No such file"):
            load({"DRIVEBAY_ENV_FILE": str(tmp_path / "nowhere")}, NOWHERE)

    def test_a_secret_may_be_in_a_file_of_its_own(self, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("from the file".replace(" ", "-") + "\n")
        for name in ("AUTH_BEARER_TOKEN_FILE", "SECRET_KEY_FILE"):
            assert load({name: str(tmp_path / "secret")}, NOWHERE).tokens == hashes("from-the-file")
        (tmp_path / "secret").write_text("sqlite:///x.db\n")
        assert load({"DATABASE_URL_FILE": str(tmp_path / "secret")}, NOWHERE).sqlite_path == Path("x.db")

    def test_several_tokens(self) -> None:
        assert load({"AUTH_BEARER_TOKEN": "one, two,three"}, NOWHERE).tokens == hashes("one", "two", "three")

    def test_the_driver_is_not_the_users_business(self) -> None:
        for url in ("postgres://u@h/n", "postgresql://u@h/n", "postgresql+psycopg2://u@h/n"):
            assert load({"DATABASE_URL": url}, NOWHERE).database_url == "postgresql://u@h/n"
        for url in ("mysql://u@h/n", "mariadb://u@h/n", "mysql+pymysql://u@h/n"):
            assert load({"DATABASE_URL": url}, NOWHERE).database_url == "mariadb://u@h/n"
        assert load({"DATABASE_URL": "sqlite+aiosqlite:////abs.db"}, NOWHERE).sqlite_path == Path("/abs.db")

    def test_what_may_hold_older_blobs_stays_readable(self, tmp_path: Path) -> None:
        assert load({}, NOWHERE).storages == ("fs", "database")
        data = {"STORAGE": "db", "DATA_DIR": str(tmp_path)}
        assert load(data, NOWHERE).storages == ("database",)
        assert load(data | {"FS_BASE_PATH": "elsewhere"}, NOWHERE).storages == ("fs", "database")
        (tmp_path / "blobs").mkdir()
        assert load(data, NOWHERE).storages == ("fs", "database")

    def test_origins(self) -> None:
        assert load({}, NOWHERE).cors_origins == ()
        assert load({"CORS_ORIGINS": "*"}, NOWHERE).cors_origins == ("*",)
        given = "HTTPS://App.example , http://localhost:5173,http://[::1]:8080,moz-extension://0af7"
        expected = ("https://app.example", "http://localhost:5173", "http://[::1]:8080", "moz-extension://0af7")
        assert load({"CORS_ORIGINS": given}, NOWHERE).cors_origins == expected

    def test_ftp(self) -> None:
        given = {"STORAGE": "ftp", "FTP_HOST": "h", "FTP_USER": "u", "FTP_PASSWORD": "p"}
        settings = load(given, NOWHERE)
        assert (settings.backends["ftp"].tls, settings.backends["ftp"].port, settings.backends["ftp"].passive) == (
            "explicit",
            21,
            ("epsv", "pasv"),
        )
        assert "ftp" in settings.storages
        implicit = load(given | {"FTP_TLS": "implicit", "FTP_PASSIVE": "PASV, epsv"}, NOWHERE)
        assert (implicit.backends["ftp"].tls, implicit.backends["ftp"].port, implicit.backends["ftp"].passive) == (
            "implicit",
            990,
            ("pasv", "epsv"),
        )
        assert load(given | {"FTP_TLS": "false"}, NOWHERE).backends["ftp"].tls == "none"

    def test_memory_is_for_bytes_and_rows(self) -> None:
        assert load({"STORAGE": "memory"}, NOWHERE).database == "memory"


class TestHints:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            *[
                ("STORGE", "STORAGE"),
                ("storage", "STORAGE"),
                ("S3_BUKET", "S3_BUCKET or S3_BUCKET_NAME"),
                ("FTP_PASS", "FTP_PASSIVE or FTP_PASSWORD"),
            ],
            *[
                ("DATABASE_URI", "DATABASE_URL or DATABASE_URL_FILE"),
                ("DB_PASS", "DB_PASSWORD"),
                ("S3_SECRETKEY", "S3_SECRET_KEY or SECRET_KEY"),
            ],
            *[("AUTH_TOKEN", "AUTH_BEARER_TOKEN"), ("S3ENDPOINT", "S3_ENDPOINT")],
            *[
                ("PORT_", "PORT"),
                ("MAX_BLOB_BYTE", "MAX_BLOB_BYTES or SMALL_BLOB_BYTES"),
                ("OTEL_EXPORTER_OTLP_ENDPOIN", OTEL),
            ],
        ],
    )
    def test_a_name_in_the_file_that_is_close_to_a_setting(self, tmp_path: Path, name: str, meant: str) -> None:
        (tmp_path / ".env").write_text(f"{name}=x\n")
        assert load_all({}, tmp_path / ".env").hints == (
            f"{name} in {tmp_path}/.env is not a setting, and has no effect. Did you mean {meant}?",
        )

    def test_a_slip_in_the_environment(self) -> None:
        hints = load_all({"STORGE": "x", "AUTH_BEARER_TOKENS": "x", "DB_PASWORD": "x"}, NOWHERE).hints
        assert [hint.partition(" in the environment")[0] for hint in hints] == [
            *("AUTH_BEARER_TOKENS", "DB_PASWORD", "STORGE")
        ]

    def test_names_of_other_programs(self, tmp_path: Path) -> None:
        foreign = ["AWS_REGION", "AWS_SECRET_ACCESS_KEY", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "HOSTNAME", "ftp_proxy"]
        foreign += ["SECRET_KEY_BASE", "XDG_DATA_DIRS", "PATH", "HOSTS", "PORTS", "DB_PORT_5432_TCP", "storage"]
        assert load_all(dict.fromkeys(foreign, "x"), NOWHERE).hints == ()
        (tmp_path / ".env").write_text(
            "DRIVEBAY_PORT=1\nDRIVEBAY_CLUSTER_PORT=2\nOTEL_EXPORTER_OTLP_HEADERS=a\nTZ=UTC\n"
        )
        assert load_all({}, tmp_path / ".env").hints == ()

    @pytest.mark.parametrize(
        ("name", "value", "without", "switched_on"),
        [
            *(
                (name, value, "with S3_API=off", {"S3_API": "only"})
                for name, value in [
                    ("S3_API_DOMAIN", "s3.example.com"),
                    ("S3_API_BUCKETS", "films=media/"),
                    ("S3_API_PUBLIC", "films"),
                    ("S3_API_ACLS", "true"),
                    ("S3_API_SIGNATURE_V2", "true"),
                ]
            ),
            ("AUDIT_IDS", "true", "without AUDIT_LOG", {"AUDIT_LOG": "stdout"}),
            ("SMALL_BLOB_BYTES", "1024", "without SMALL_BLOBS=database", {"SMALL_BLOBS": "database"}),
        ],
    )
    def test_a_setting_without_effect(
        self, tmp_path: Path, name: str, value: str, without: str, switched_on: dict[str, str]
    ) -> None:
        (tmp_path / ".env").write_text(f"S3_API=off\n{name}={value}\n")
        assert load_all({}, tmp_path / ".env").hints == (f"{name} in {tmp_path}/.env has no effect {without}.",)
        assert load_all(switched_on, tmp_path / ".env").hints == ()

    def test_a_default_that_is_set_is_not_reported(self) -> None:
        given = {"S3_API": "off", "S3_API_ACLS": "false", "AUDIT_IDS": "false", "SMALL_BLOB_BYTES": "16384"}
        assert load_all(given, NOWHERE).hints == ()

    def test_each_setting_is_known(self) -> None:
        names = re.findall(r"^# ([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
        assert len(names) > 40
        assert [hint for name in names for hint in load_all({name: ""}, NOWHERE).hints] == []
        files = {f"{name}_FILE": "" for name in SECRETS}
        assert load_all(files, NOWHERE).hints == ()


class TestFaults:
    @pytest.mark.parametrize(
        ("name", "value", "why"),
        [
            (
                "STORAGE",
                "tape",
                "'tape' is no storage. Allowed: fs (or filesystem, local), database (or db), s3, ftp, memory.",
            ),
            ("S3_ENDPOINT", "localhost:9000", "'localhost:9000' can't be used: it takes http://host:port"),
            ("S3_ENDPOINT", "http://h:abc", "'http://h:abc' can't be used: it takes http://host:port"),
            ("S3_ENDPOINT", "http://h:65536", "'http://h:65536' can't be used: it takes http://host:port"),
            (OTEL, "http://u:p@h:0", "'http://...@h:0' can't be used: it takes http://host:port"),
            ("S3_ENDPOINT", "https://u:p@h", "it takes no user and no password. Set S3_ACCESS_KEY and S3_SECRET_KEY."),
            ("FTP_HOST", "ftp://h", "it takes the name or the address of a host, and nothing else."),
            ("HOST", "0.0.0.0/0", "it takes the name or the address of a host, and nothing else."),
            ("S3_FORCE_PATH_STYLE", "maybe", "'maybe' can't be used. Allowed: true, false."),
            ("FTP_TLS", "ssl", "'ssl' can't be used. Allowed: true (or explicit), implicit, false."),
            ("FTP_VERIFY", "perhaps", "'perhaps' can't be used. Allowed: true, false."),
            ("FTP_PASSIVE", "port", "'port' can't be used. Allowed: epsv, pasv, or both with a comma"),
            ("FTP_PASSIVE", "pasv,pasv", "Allowed: epsv, pasv, or both with a comma"),
            (
                "CORS_ORIGINS",
                "app.example.com",
                "'app.example.com' is not an origin. Give origins as browsers write them",
            ),
            ("CORS_ORIGINS", "https://a.example/", "'https://a.example/' is not an origin."),
            ("CORS_ORIGINS", "https://*.example", "'https://*.example' is not an origin."),
            ("CORS_ORIGINS", "https://a.example https://b.example", "is not an origin."),
            ("CORS_ORIGINS", "https://a.example,", "'' is not an origin."),
            ("CORS_ORIGINS", "https://é.example", "is not an origin."),
            ("CORS_ORIGINS", "https://a.example:x", "'https://a.example:x' is not an origin."),
            ("CORS_ORIGINS", "https://a.example:", "'https://a.example:' is not an origin."),
            ("CORS_ORIGINS", "null", "'null' is not an origin."),
            ("CORS_ORIGINS", "*,https://a.example", "* stands for all origins, so it does not go with others."),
            ("CORS_ORIGINS", "https://a.example:443", "names the default port, which browsers leave out."),
            ("CORS_ORIGINS", "https://u:p@a.example", "an origin has no user and no password."),
            ("FTP_PASSWORD", "a\r\nDELE b", "it has more than one line."),
            ("FTP_COMPLETION_TIMEOUT", "3601", "'3601' can't be used: Expected `float` <= 3600.0."),
            ("FTP_PORT", "ftp", "'ftp' can't be used: Expected `int`, got `str`."),
            ("STORAGE_TIMEOUT", "0", "'0' can't be used: Expected `float` > 0.0."),
            ("STORAGE_TIMEOUT", "1e9", "'1e9' can't be used: Expected `float` <= 86400.0."),
            ("CLIENT_TIMEOUT", "86401", "'86401' can't be used: Expected `float` <= 86400.0."),
            ("STORAGE_ATTEMPTS", "0", "'0' can't be used: Expected `int` >= 1."),
            ("PORT", "http", "'http' can't be used: Expected `int`, got `str`."),
            ("PORT", "0", "'0' can't be used: Expected `int` >= 1."),
            ("PORT", "65536", "'65536' can't be used: Expected `int` <= 65535."),
            ("WORKERS", "-1", "'-1' can't be used: Expected `int` >= 1."),
            ("WORKERS", "all", "'all' can't be used: Expected `int`, got `str`."),
            ("MAX_BLOB_BYTES", "5 GiB", "'5 GiB' can't be used: Expected `int`, got `str`."),
            ("SMALL_BLOBS", "s3", "'s3' can't be used. Allowed: storage, database."),
            ("SMALL_BLOB_BYTES", "262145", "'262145' can't be used: Expected `int` <= 262144."),
            ("REAP_INTERVAL", "0", "'0' can't be used: Expected `float` > 0.0."),
            ("REAP_INTERVAL", "inf", "'inf' can't be used: Expected `float` <= 31622400.0."),
            ("REAP_INTERVAL", "nan", "'nan' can't be used: Expected `float` > 0.0."),
            ("FTP_TIMEOUT", "1e300", "'1e300' can't be used: Expected `float` <= 31622400.0."),
            ("READERS_GRACE", "-1", "'-1' can't be used: Expected `int` >= 0."),
            ("AUTH_BEARER_TOKEN", "two words", "a token is visible ASCII characters without spaces"),
            ("AUTH_BEARER_TOKEN", "schlüssel", "a token is visible ASCII characters without spaces"),
            ("SECRET_KEY", ",", "a token is visible ASCII characters without spaces"),
            (
                "DATABASE_URL",
                "oracle://h/n",
                "oracle is not known. Allowed: sqlite:///..., postgresql://..., mariadb://...",
            ),
            ("DATABASE_URL", "data.db", "a URL without a scheme is not known"),
            ("DATABASE_URL", "sqlite://", "SQLite takes a file"),
            ("DATABASE_URL", "sqlite:///:memory:", "SQLite takes a file"),
            ("DATABASE_URL", "sqlite:///a.db?mode=ro", "SQLite takes a file and no options"),
            ("DATABASE_URL", "postgresql://u@h", "PostgreSQL takes postgresql://user:password@host:port/name"),
            ("DATABASE_URL", "postgresql://u:p@x@h/n", "Write an @ in the password as %40."),
            ("DATABASE_URL", "postgresql://u:p@h:/n", "PostgreSQL takes"),
            ("DATABASE_CONNECTIONS", "0", "'0' can't be used: Expected `int` >= 1."),
            ("DATABASE_URL", "mariadb://u@h", "MariaDB takes mariadb://user:password@host:port/name"),
            ("DATABASE_URL", "mariadb://u:p@h:abc/n", "MariaDB takes"),
            ("DATABASE_URL", "postgresql:u@h/n", "a URL without a scheme is not known."),
            ("DATABASE_URL", "postgresql://u:p@h:abc/n", "PostgreSQL takes"),
            ("DATABASE_URL", "postgresql://u:p@h:99999/n", "PostgreSQL takes"),
            ("DATABASE_URL", "postgresql://u:p@a..b/n", "PostgreSQL takes"),
            ("FS_BASE_PATH", "~nosuchuser/x", "'~nosuchuser/x' can't be used: "),
            ("DATA_DIR", "a\0b", "it has a character NUL in it."),
            ("AUTH_BEARER_TOKEN_FILE", "/nonexistent/secret", "can't be read: No such file or directory."),
        ],
    )
    def test_each_is_named_with_what_is_allowed(self, name: str, value: str, why: str) -> None:
        assert fault(**{name: value}).startswith(f"{name}: ")
        assert why in fault(**{name: value})

    def test_all_are_reported_at_once(self) -> None:
        assert len(fault(PORT="x", WORKERS="0", STORAGE="tape").splitlines()) == 3

    def test_one_setting_twice(self, tmp_path: Path) -> None:
        assert fault(STORAGE="fs", ACTIVE_STORAGE="memory").startswith(
            "STORAGE and ACTIVE_STORAGE: they are one setting"
        )
        assert load({"STORAGE": "fs", "ACTIVE_STORAGE": "local"}, NOWHERE).storage == "fs"
        both = {"DATABASE_URL": "postgresql://u@h:5432/n", "DB_HOST": "h", "DB_USER": "u", "DB_NAME": "n"}
        assert load(both, NOWHERE).database_url == "postgresql://u@h:5432/n"
        assert "DATABASE_URL and DB_HOST" in fault(**both | {"DB_NAME": "other"})

    def test_half_of_s3(self) -> None:
        assert fault(STORAGE="s3") == "S3_BUCKET: not given, and needed with STORAGE=s3."
        assert fault(S3_ACCESS_KEY="a").startswith("S3_ACCESS_KEY and S3_SECRET_KEY: only one is given.")

    def test_a_blob_that_s3_can_not_hold(self) -> None:
        largest, bucket = 5 * 1024**4, {"STORAGE": "s3", "S3_BUCKET": "b"}
        assert load({"MAX_BLOB_BYTES": str(largest), **bucket}, NOWHERE).max_blob_bytes == largest
        expected = f"MAX_BLOB_BYTES: S3 takes objects of up to 5 TiB. Set it to {largest} or less."
        assert fault(MAX_BLOB_BYTES=str(largest + 1), **bucket) == expected
        assert load({"MAX_BLOB_BYTES": str(largest + 1)}, NOWHERE).max_blob_bytes == largest + 1

    def test_half_of_ftp(self) -> None:
        assert fault(STORAGE="ftp", FTP_HOST="h") == "FTP_USER, FTP_PASSWORD: not given, and needed with STORAGE=ftp."

    def test_half_a_database(self) -> None:
        assert fault(DB_HOST="h", DB_PASSWORD="p") == (
            "DB_USER, DB_NAME: not given, but DB_PASSWORD, DB_HOST. Give them all, or DATABASE_URL."
        )

    def test_parts_of_the_database_that_make_no_url(self) -> None:
        parts = {"DB_HOST": "h", "DB_USER": "u", "DB_NAME": "n"}
        assert fault(**parts, DB_PORT="abc").startswith("DB_HOST, DB_PORT: PostgreSQL takes")
        assert load(parts | {"DB_HOST": "::1"}, NOWHERE).database_url == "postgresql://u@[::1]:5432/n"

    def test_memory_with_what_would_outlive_it(self) -> None:
        assert fault(STORAGE="memory", DATABASE_URL="sqlite:///a.db").startswith("DATABASE_URL: STORAGE=memory")
        assert fault(STORAGE="memory", SMALL_BLOBS="database").startswith("SMALL_BLOBS: STORAGE=memory")
        assert fault(STORAGE="memory", READ_ONLY="true").startswith("READ_ONLY: STORAGE=memory")
        assert fault(STORAGE="memory", WORKERS="2").startswith("WORKERS: with STORAGE=memory")
        assert fault(STORAGE="memory", MOVE_TO="memory").startswith("MOVE_TO: the storage memory is not configured.")

    def test_a_move_to_a_storage_that_is_not_configured(self) -> None:
        assert load({"MOVE_TO": "db"}, NOWHERE).move_to == "database"
        assert fault(MOVE_TO="s3").startswith("MOVE_TO: the storage s3 is not configured. Set S3_BUCKET, S3_ENDPOINT,")

    def test_a_line_that_is_none(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text('# mine\nPORT=80\nSECRET_KEY="not closed\n')
        with pytest.raises(SettingsError, match=r"\.env, line 3: this is no NAME=value\. Is a quote missing\?$"):
            load({}, tmp_path / ".env")
        (tmp_path / "folder").mkdir()
        with pytest.raises(SettingsError, match=r"folder can't be read: .*Is a directory"):
            load({}, tmp_path / "folder")

    def test_a_file_that_is_no_text(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_bytes(b"PORT=80\xff")
        with pytest.raises(SettingsError, match=r"\.env can't be read: .*Mend it, or remove it"):
            load({}, tmp_path / ".env")

    def test_no_secret_is_shown(self) -> None:
        settings = load({"AUTH_BEARER_TOKEN": "hidden", "DATABASE_URL": "postgresql://u:hidden@h/n"}, NOWHERE)
        assert "hidden" not in repr(settings) + str(settings)
        assert "hidden" not in fault(AUTH_BEARER_TOKEN="hidden token", DATABASE_URL="postgresql://u:hidden@h")
