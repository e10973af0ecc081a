"""URLs as hosting providers issue them: what is honoured, ignored with a line in the log, or refused by its name."""

import ssl
from pathlib import Path

import pytest

from adapters.sql.servers.tls import Tls
from entrypoints.config import database_urls
from entrypoints.config.loading import load_all
from entrypoints.config.settings import SettingsError

NOWHERE = Path("/nonexistent/.env")


def read(url: str) -> tuple[str, tuple[str, ...]]:
    """Return the URL for the adapter, and what the log says."""
    loaded = load_all({"DATABASE_URL": url}, NOWHERE)
    return loaded.settings.database_url, loaded.hints


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        # Neon
        ("postgres://u:p@h/n?sslmode=require&channel_binding=require", "postgresql://u:p@h/n?sslmode=verify-full"),
        # Heroku, Render, Fly
        ("postgres://u:p@h:5432/n", "postgresql://u:p@h:5432/n"),
        ("postgres://u:p@h:5432/n?ssl=true", "postgresql://u:p@h:5432/n?sslmode=require"),
        # Cloud SQL, by way of its socket
        (
            "postgresql+asyncpg://u:p@/n?host=/cloudsql/project:region:name",
            "postgresql://u:p@/n?host=/cloudsql/project%3Aregion%3Aname",
        ),
        (
            "postgresql://u:p@localhost/n?host=/run/postgresql&port=5433",
            "postgresql://u:p@/n?host=/run/postgresql&port=5433",
        ),
        ("postgresql:///n?host=/run/postgresql", "postgresql:///n?host=/run/postgresql"),
        # RDS, DigitalOcean
        (
            "postgresql://u@h/n?sslmode=require&sslrootcert=/ca.pem",
            "postgresql://u@h/n?sslmode=require&sslrootcert=/ca.pem",
        ),
        ("postgresql://u@h/n?sslrootcert=system", "postgresql://u@h/n?sslmode=verify-full&sslrootcert=system"),
        (
            "postgresql://u@h/n?sslrootcert=/my%20ca.pem",
            "postgresql://u@h/n?sslmode=verify-full&sslrootcert=/my%20ca.pem",
        ),
        # Supabase
        ("postgresql://u@h:6543/n?pgbouncer=true", "postgresql://u@h:6543/n?pgbouncer=true"),
        (
            "postgresql://u@h/n?application_name=my+app&connect_timeout=15",
            "postgresql://u@h/n?application_name=my%20app&connect_timeout=15",
        ),
        # Google and CockroachDB, with a certificate of the client
        (
            "postgresql://u@h/n?sslmode=verify-ca&sslcert=/c.pem&sslkey=/k.pem",
            "postgresql://u@h/n?sslcert=/c.pem&sslkey=/k.pem&sslmode=verify-ca",
        ),
        # DigitalOcean, Aiven
        ("mysql://u:p@h:25060/n?ssl-mode=REQUIRED", "mariadb://u:p@h:25060/n?sslmode=require"),
        (
            "mysql://u@h/n?ssl_mode=VERIFY_IDENTITY&ssl_ca=/ca.pem",
            "mariadb://u@h/n?sslmode=verify-full&sslrootcert=/ca.pem",
        ),
        ("mariadb://u@h/n?ssl-ca=/ca.pem", "mariadb://u@h/n?sslmode=verify-full&sslrootcert=/ca.pem"),
        ("mariadb://u@h/n?sslMode=verify-ca", "mariadb://u@h/n?sslmode=verify-ca"),
        (
            "mariadb://u@h/n?sslmode=verify-full&sslrootcert=system",
            "mariadb://u@h/n?sslmode=verify-full&sslrootcert=system",
        ),
        ("mysql://u@h/n?useSSL=false", "mariadb://u@h/n?sslmode=disable"),
        (
            "mysql://u:p@localhost/n?unix_socket=/run/mysqld/mysqld.sock",
            "mariadb://u:p@/n?unix_socket=/run/mysqld/mysqld.sock",
        ),
        ("postgresql://u@h/n?sslmode=require&SSLMODE=require", "postgresql://u@h/n?sslmode=require"),
    ],
)
def test_what_is_meaningful_is_honoured(given: str, meant: str) -> None:
    assert read(given) == (meant, ())


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u@h/n?channel_binding=prefer", "channel_binding"),
        ("postgresql://u@h/n?charset=utf8", "charset"),
        ("postgresql://u@h/n?connection_limit=1", "connection_limit"),
        ("postgresql://u@h/n?pgbouncer=false", "pgbouncer"),
        ("postgresql://u@h/n?statement_cache_size=0", "statement_cache_size"),
        ("postgresql://u@h/n?schema=public", "schema"),
        ("postgresql://u@h/n?serverVersion=17&charset=utf8", "serverVersion"),
        ("postgresql://u@h/n?target_session_attrs=read-write", "target_session_attrs"),
        ("mysql://u@h/n?charset=utf8mb4", "charset"),
        ("mysql://u@h/n?application_name=mine", "application_name"),
    ],
)
def test_what_is_harmless_is_ignored_and_logged(url: str, name: str) -> None:
    meant, hints = read(url)
    assert "?" not in meant
    assert hints[-1].startswith(f"DATABASE_URL: the parameter {name} has no effect: ")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("postgresql://u@h/n?x=secret", "the parameter x is not known. Take it out of the URL."),
        ("postgresql://u@h/n?options=-c%20secret=1", "the parameter options can't be honoured: set it for the role: "),
        ("postgresql://u@h/n?password=secret", "the parameter password can't be honoured: write it before the host."),
        ("postgresql://u@h/n?schema=secret", "the parameter schema can't be honoured: allowed: public."),
        ("postgresql://u@h/n?target_session_attrs=standby", "the parameter target_session_attrs can't be honoured"),
        ("postgresql://u@h/n?sslcrl=/secret", "the parameter sslcrl can't be honoured"),
        ("postgresql://u@h/n?connect_timeout=0", "the parameter connect_timeout can't be honoured: it takes 1 to 3600"),
        ("postgresql://u@h/n?pgbouncer=secret", "the parameter pgbouncer can't be honoured: allowed: true, false."),
        (
            "postgresql://u@h/n?host=secret",
            "the parameter host can't be honoured: it takes the folder of a Unix socket.",
        ),
        ("postgresql://u@h/n?sslmode=secret", "the parameter sslmode can't be honoured: allowed: disable, allow,"),
        ("postgresql://u@h/n?sslmode=require&sslmode=disable", "the parameter sslmode contradicts another one."),
        ("mysql://u@h/n?ssl-mode=REQUIRED&ssl=false", "the parameter ssl contradicts another one."),
        ("postgresql://u@h/n?sslmode=require&sslrootcert=system", "goes with sslmode=verify-full or verify-ca."),
        (
            "postgresql://u@h/n?sslmode=verify-ca&sslrootcert=",
            "the parameter sslrootcert can't be honoured: it is empty.",
        ),
        ("postgresql://u@h/n?sslcert=/c.pem", "needs sslmode=require, verify-ca or verify-full."),
        ("postgresql://u@/n", "PostgreSQL takes postgresql://user:password@host:port/name"),
        ("mysql://u@h/n?ssl_verify_cert=true", "the parameter ssl_verify_cert can't be honoured: say it by ssl-mode"),
        ("mysql://u@h/n?init_command=secret", "the parameter init_command is not known."),
        ("mysql://u@h/n?unix_socket=secret", "the parameter unix_socket can't be honoured: it takes the path"),
        ("postgresql://u:p?secret@h/n", "Write a ? in the password as %3F."),
        ("postgresql://u:p@q?secret@h/n", "Write a ? in the password as %3F."),
        ("postgresql://u:1/2?secret=3@h/n", "Write a ? in the password as %3F."),
        ("mysql://u:p?secret&sslmode=require@h/n?ssl=true", "Write a ? in the password as %3F."),
    ],
)
def test_what_cannot_be_honoured_is_named(url: str, why: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(url)
    assert str(caught.value).startswith("DATABASE_URL: ")
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_place_is_shown_without_the_login() -> None:
    assert database_urls.place("postgresql://u:p@h:1/n?sslmode=require") == "h:1/n"
    assert database_urls.place("postgresql://h/n") == "h/n"
    assert database_urls.place("postgresql://u:p@/a%20b?host=/run/postgresql") == "/run/postgresql, a b"
    assert database_urls.place("mariadb:///n?unix_socket=/run/my.sock") == "/run/my.sock, n"


@pytest.mark.parametrize(("mode", "is_verified"), [(None, False), ("require", False), ("verify-full", True)])
def test_authorities_are_loaded_only_for_certificates_that_are_verified(mode: str | None, is_verified: bool) -> None:
    context = Tls(mode).context()
    assert (context.verify_mode is ssl.CERT_REQUIRED, context.check_hostname) == (is_verified, is_verified)
    assert context.cert_store_stats()["x509_ca"] == 0 or is_verified
