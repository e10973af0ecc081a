"""Servers and tokens: from the environment, or from profiles in a file."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

NOWHERE = (
    "No server is configured. Set DRIVEBAY_URL and DRIVEBAY_TOKEN, or write {path}:\n"
    "  [profiles.default]\n"
    '  url = "http://127.0.0.1:8000"\n'
    "  token = {example}"
)
MEMBERS = {"url", "token", "token_file"}


@dataclass(frozen=True, slots=True)
class Profile:
    """A server, and the token for it."""

    url: str
    token: str | None = field(repr=False)


def folder_of(kind: str, environment: Mapping[str, str]) -> Path:
    """Return the folder `drivebay` below that of the XDG Base Directory Specification: of CONFIG, STATE or CACHE."""
    usual = {"CONFIG": ".config", "STATE": ".local/state", "CACHE": ".cache"}[kind]
    chosen = environment.get(f"XDG_{kind}_HOME", "")
    base = Path(chosen) if chosen.startswith("/") else Path(environment.get("HOME") or Path.home()) / usual
    return base / "drivebay"


def is_configured(name: str | None, environment: Mapping[str, str]) -> bool:
    """Return whether a server is named anywhere. Raises click.UsageError for a file that can't be read."""
    return bool(
        name or environment.get("DRIVEBAY_PROFILE") or environment.get("DRIVEBAY_URL") or _profiles(environment)
    )


def find(name: str | None, environment: Mapping[str, str]) -> Profile:
    """Return the named profile, or that of the environment, or the default one. Raises click.UsageError.

    A token of a profile is never sent to another URL than that of the profile.
    """
    name = name or environment.get("DRIVEBAY_PROFILE") or None
    url = environment.get("DRIVEBAY_URL")
    if name is None and url:
        return Profile(url, _token_of(environment))
    profiles = _profiles(environment)
    if name is None and "default" not in profiles:
        hint = f" There are profiles: add --profile {next(iter(profiles))}." if profiles else ""
        raise click.UsageError(NOWHERE.format(path=_path(environment), example='"..."') + hint)
    chosen = profiles.get(name or "default")
    if chosen is None:
        known = ", ".join(profiles) or "none"
        raise click.UsageError(f"There is no profile {name!r} in {_path(environment)}. There are: {known}.")
    profile = _profile(name or "default", chosen, environment)
    return profile if name else Profile(profile.url, _token_of(environment) or profile.token)


def _path(environment: Mapping[str, str]) -> Path:
    return folder_of("CONFIG", environment) / "config.toml"


def _profiles(environment: Mapping[str, str]) -> Mapping[str, Any]:
    path = _path(environment)
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                click.echo(f"drivebay: others can read {path}, and the tokens in it. Run: chmod 600 {path}", err=True)
            found = tomllib.load(file).get("profiles", {})
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{path} can't be read: {error}.") from None
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise click.UsageError(f"{path}: each profile is a table, such as [profiles.default].")
    return found


def _profile(name: str, found: Mapping[str, Any], environment: Mapping[str, str]) -> Profile:
    where = f"{_path(environment)}: the profile {name!r}"
    unknown = set(found) - MEMBERS
    if unknown:
        raise click.UsageError(f"{where} has an unknown member {min(unknown)!r}. It takes url, token and token_file.")
    if not all(isinstance(value, str) for value in found.values()):
        raise click.UsageError(f"{where} has a member that is not text. Put it into quotes.")
    if "url" not in found or {"token", "token_file"} <= set(found):
        raise click.UsageError(f"{where} needs a url, and a token or a token_file.")
    token_file = found.get("token_file")
    return Profile(found["url"], _content(token_file) if token_file else found.get("token"))


def _token_of(environment: Mapping[str, str]) -> str | None:
    if token := environment.get("DRIVEBAY_TOKEN", "").strip():
        return token
    path = environment.get("DRIVEBAY_TOKEN_FILE")
    return _content(path) if path else None


def _content(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"The token can't be read from {path}: {error}.") from None
