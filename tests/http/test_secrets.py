"""The error of a start that fails has no secret in it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from entrypoints.cli.main import main
from tests.http.server import free_port

HIDDEN = "hidden-word"
NOBODY = "127.0.0.1:1"


@pytest.mark.parametrize(
    "settings",
    [
        *({"DATABASE_URL": f"{kind}://u:{HIDDEN}@{NOBODY}/d"} for kind in ("postgresql", "mariadb", "oracle")),
        *(
            {"DATABASE_URL": f"postgresql://u:{HIDDEN}{rest}"}
            for rest in ("", "@h", "@h:x/d", "@h/d?a=b", "@[/d", "@h..h/d", "@h:/d", "@h@h/d")
        ),
        {"DATABASE_URL": HIDDEN},
        {"DATABASE_URL": f"postgresql://u:{HIDDEN}@{NOBODY}/d", "DB_HOST": "h", "DB_USER": "u", "DB_NAME": "n"},
        {"DB_HOST": "h..h", "DB_USER": "u", "DB_PASSWORD": HIDDEN, "DB_NAME": "n"},
        {"DB_HOST": f"u:{HIDDEN}@h", "DB_USER": "u", "DB_NAME": "n"},
        {"AUTH_BEARER_TOKEN": f"{HIDDEN} in two words"},
        {"AUTH_BEARER_TOKEN_FILE": HIDDEN},
        {"AUTH_BEARER_TOKEN": HIDDEN, "SECRET_KEY": f"another-{HIDDEN}"},
        {"STORAGE": "s3", "S3_BUCKET": "b", "S3_SECRET_KEY": HIDDEN},
        {"STORAGE": "ftp", "FTP_HOST": "127.0.0.1", "FTP_PORT": "1", "FTP_USER": "u", "FTP_PASSWORD": HIDDEN},
        {"STORAGE": "ftp", "FTP_HOST": "h", "FTP_USER": "u", "FTP_PASSWORD": f"{HIDDEN}\nx"},
        *({"FTP_HOST": f"{scheme}u:{HIDDEN}@h"} for scheme in ("", "ftp://")),
        {"HOST": f"u:{HIDDEN}@h"},
        *(
            {name: f"{start}{HIDDEN}{rest}"}
            for name in ("S3_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
            for start in ("ftp://u:", "ftp://", "u:", "http:/u:", "x:y://u:")
            for rest in ("@h", "@h/path", "@@h", "/in it@h")
        ),
        *({name: f"http://u:{HIDDEN}@[h"} for name in ("S3_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")),
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"ftp://h?token={HIDDEN}"},
        {"S3_ENDPOINT": f"http://u:{HIDDEN}@{NOBODY}", "STORAGE": "s3", "S3_BUCKET": "b"},
    ],
)
def test_a_start_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner(env={"PORT": str(free_port()), "STORAGE_TIMEOUT": "5", **settings}).invoke(main, ["serve"])
    assert result.exit_code == 2
    assert HIDDEN not in result.output
    assert result.stderr.startswith("drivebay: ")
