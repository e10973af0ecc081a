"""`drivebay settings`: the value of each setting, and its source."""

import os
from collections.abc import Mapping

import click

from entrypoints.cli.exit_codes import show_hints, tell_and_exit
from entrypoints.config.loading import load_all
from entrypoints.config.settings import DATABASE_PARTS, SECRETS, SettingsError
from entrypoints.config.values import without_login


@click.command("settings", short_help="Show each setting's value, and where it is from.")
def show() -> None:
    """Show the value of each setting, and where it is from. No secret is shown, only whether it is set.

    They are read from the environment, over the file that DRIVEBAY_ENV_FILE names, over a file named .env in the
    current folder, over the defaults. Some have a second name, as S3_BUCKET_NAME for S3_BUCKET, and a secret may be in
    a file, as by S3_SECRET_KEY_FILE: the name that was used is shown. A name that is close to a setting, but is
    not one, is reported, and so is a setting without effect. Nothing is opened or changed: `drivebay check` tries
    whether they work.

    \b
    It exits with
      0  if all can be used
      2  if one can't: each wrong one is listed, with what is allowed

    \b
    Examples:
      drivebay settings
      drivebay settings | grep -v default$     what was set
    """
    try:
        loaded = load_all(os.environ)
    except SettingsError as error:
        tell_and_exit(error)
    lines = [
        (name, _text(name, value), _origin(name, loaded.origins)) for name, value in loaded.settings.by_name().items()
    ]
    name_width, value_width = (max(len(line[column]) for line in lines) for column in (0, 1))
    for name, value, origin in lines:
        click.echo(f"{name:{name_width}}  {value:{value_width}}  {origin}")
    show_hints(loaded)


def _text(name: str, value: object) -> str:
    """Return a value as an operator would write it; of a secret, whether it is set."""
    if name == "DATABASE_URL":
        return _without_password(str(value))
    if name in SECRETS:
        return "(set)" if value else ""
    if isinstance(value, str) and "://" in value:
        return without_login(value)
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join("=".join(each) if isinstance(each, tuple) else str(each) for each in value)
        case float():
            return f"{value:g}"
        case None:
            return ""
        case _:
            return str(value)


def _without_password(url: str) -> str:
    """Return the URL of the database without its password. The user is not a secret."""
    scheme, _, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}://{user}{':...' if colon else ''}{at}{place}"


def _origin(name: str, origins: Mapping[str, str]) -> str:
    if name == "DATABASE_URL" and not origins[name]:
        parts = [origins[part] for part in DATABASE_PARTS if origins.get(part)]
        return ", ".join(parts) or "default"
    return origins[name] or "default"
