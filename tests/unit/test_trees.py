"""The trees that a command names, and the logins to them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entrypoints.composition import trees
from entrypoints.config.loading import load_all
from entrypoints.config.settings import Settings, SettingsError

SETTINGS = {
    "FTP_HOST": "ours",
    "FTP_USER": "ada",
    "FTP_PASSWORD": "from-settings",
    "FTP_TLS": "false",
    "S3_BUCKET": "ours",
    "S3_ACCESS_KEY": "key",
    "S3_SECRET_KEY": "secret",
    "S3_ENDPOINT": "http://s3:1",
    "S3_FORCE_PATH_STYLE": "true",
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_all(SETTINGS).settings


def config_of(place: str, settings: Settings, **environment: str) -> Any:
    tree: Any = trees.make_tree(place, settings, environment)
    return tree._config if place.startswith("s3") else tree._pool._config


@pytest.mark.parametrize(
    ("place", "login", "port", "folder"),
    [
        ("ftp://ours", ("ada", "from-settings"), 21, ""),
        ("ftp://ada@ours/a/b/", ("ada", "from-settings"), 21, "a/b"),
        ("ftp://ours:2121//srv/a%20b", ("ada", "from-settings"), 2121, "/srv/a b"),
        ("ftp://b:p%40ss@ours/x", ("b", "p@ss"), 21, "x"),
        ("ftp://theirs/x", ("bob", "from-netrc"), 21, "x"),
        ("ftps://bob@theirs/x", ("bob", "from-netrc"), 990, "x"),
    ],
)
def test_ftp(settings: Settings, tmp_path: Path, place: str, login: tuple[str, str], port: int, folder: str) -> None:
    (tmp_path / "netrc").write_text("machine theirs login bob password from-netrc\n")
    found = config_of(place, settings, NETRC=str(tmp_path / "netrc"))
    assert ((found.user, found.password), found.port, found.base_path) == (login, port, folder)
    assert found.tls == ("implicit" if place.startswith("ftps") else "none")


@pytest.mark.parametrize("place", ["ftp://theirs/", "ftp://eve@ours/", "ftp://ours/a%0d%0aDELE%20b", "ftp:///x"])
def test_ftp_without_a_login_or_with_a_command_in_the_path(settings: Settings, tmp_path: Path, place: str) -> None:
    with pytest.raises(SettingsError) as caught:
        config_of(place, settings, NETRC=str(tmp_path / "none"))
    assert "from-settings" not in str(caught.value)


def test_s3(settings: Settings) -> None:
    ours = replace(settings.backends["s3"], bucket="theirs")
    assert config_of("s3://theirs/below", settings) == ours
    found = config_of("s3://theirs", settings, AWS_PROFILE="p", AWS_REGION="eu-1", AWS_ENDPOINT_URL="http://x:2")
    assert (found.access_key, found.endpoint, found.path_style, found.region) == ("", "http://x:2", True, "eu-1")
    found = config_of("s3://theirs", settings, AWS_ACCESS_KEY_ID="k")
    assert (found.access_key, found.endpoint, found.path_style, found.bucket) == ("", "", False, "theirs")
