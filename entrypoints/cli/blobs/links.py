"""`drivebay sign` and `share`: URLs that need no other credential."""

import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from entrypoints.cli.blobs import profiles
from entrypoints.cli.blobs.completion import BLOB
from entrypoints.cli.blobs.running import client_of, command, json_option, run_and_exit
from entrypoints.cli.quantities import DURATION, SIZE
from entrypoints.client import AsyncClient

METHODS = ("GET", "HEAD", "PUT", "DELETE")


@click.command(short_help="Make a URL that needs no other credential.")
@click.argument("method", type=click.Choice(METHODS, case_sensitive=False))
@click.argument("id", type=BLOB)
@click.option("--expires", type=DURATION, default="1h", show_default=True, help="When it ends, from now, up to 7d.")
@click.option("--key", "key_id", help="The key that signs, by its id. The first bearer token by default.")
@click.option("--url", "origin", help="Where clients reach the server: https://files.example.com.")
@click.option("--prefix", "is_prefix", is_flag=True, help="ID is a prefix, for PUT. Replace {name} in the URL.")
@click.option("--content-type", help="For PUT: the only Content-Type that it takes.")
@click.option("--max-bytes", type=click.IntRange(0), help="For PUT: the size of the largest body that it takes.")
@click.option("--sha256", help="For PUT: the only body that it takes, by its SHA-256 in hexadecimal digits.")
@click.option("--create-only", is_flag=True, help="For PUT: replace no blob.")
@click.option("--filename", help="For GET: the name of the file that a browser saves.")
@click.option("--profile", metavar="NAME", help="A server of the file of profiles.")
def sign(
    *,
    method: str,
    id: str,  # noqa: A002
    expires: timedelta,
    key_id: str | None,
    origin: str | None,
    is_prefix: bool,
    profile: str | None,
    **conditions: Any,
) -> None:
    """Make a URL with which anybody may do one thing to one blob, for a limited time.

    The server of DRIVEBAY_URL, or of the profile, signs it with your token. Without either, or with --key or --url, it
    is signed here, with the settings of a server on this machine. The URL ends at its time, or before that with the
    key that signed it: revoke the key, or remove the token.

    \b
    It exits with
      0  if the URL was made
      1  if it was refused
      2  if it was called wrongly, or could not start
      3  if the server can't be reached or used now

    \b
    Examples:
      drivebay sign GET films/a.mp4 --expires 2h --filename a.mp4
      drivebay sign PUT inbox/a.pdf --content-type application/pdf --max-bytes 10000000 --create-only
      drivebay sign PUT inbox/ --prefix --expires 1d --create-only
    """
    wanted: dict[str, Any] = {"method": method, "expires_in": int(expires.total_seconds()), **conditions}
    wanted["prefix" if is_prefix else "id"] = id
    is_local = key_id is not None or origin is not None
    if is_local and profile is not None:
        raise click.UsageError("--profile asks a server to sign. Leave it out, or --key and --url.")
    if is_local or not profiles.is_configured(profile, os.environ):
        from entrypoints.cli.sign import sign_with_settings

        made = sign_with_settings(wanted, key_id, origin)
        _show(made.url, made.expires_at)
        return

    async def ask() -> None:
        async with client_of(profiles.find(profile, os.environ)) as client:
            found = {name: value for name, value in wanted.items() if value not in (None, False)}
            signed = await client.sign(found.pop("method"), found.pop("id", None), **found)
            _show(signed.url, signed.expires_at)

    run_and_exit(ask, "Interrupted.")


def _show(url: str, expires_at: datetime) -> None:
    click.echo(f"It is valid until {expires_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC.", err=True)
    click.echo(url)


@command("share", "Make a link for people.")
@click.argument("id", type=BLOB, required=False)
@click.option("--prefix", help="In place of an ID: a link that takes uploads, with ids that begin so.")
@click.option("--expires", type=DURATION, default="7d", show_default=True, help="When it ends, from now.")
@click.option("--password", help="What people have to enter. A - asks for it.")
@click.option("--max-uses", type=click.IntRange(1), help="How often it can be used.")
@click.option("--filename", help="The name of the file that a browser saves.")
@click.option("--max-bytes", type=SIZE, help="The size of the largest upload: 20M.")
@click.option("--revoke", metavar="SHARE", help="End the link with this key, in place of making one.")
@json_option
async def share(
    client: AsyncClient,
    *,
    id: str | None,  # noqa: A002
    expires: timedelta,
    password: str | None,
    revoke: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Make a link with which people can fetch the blob ID with a browser, or upload files below a prefix.

    The URL is the only line on the standard output.

    \b
    Examples:
      drivebay share films/film.mp4 --expires 7d --max-uses 10
      drivebay share films/film.mp4 --password -
      drivebay share --prefix inbox/ --max-bytes 20M
    """
    if (id is not None) + (options["prefix"] is not None) + (revoke is not None) != 1:
        raise click.UsageError("Give the ID of a blob, or --prefix for uploads, or --revoke.")
    if revoke is not None:
        await client.revoke_share(revoke)
        return
    if password == "-":  # noqa: S105 - it stands for a question
        password = click.prompt("Its password", hide_input=True, confirmation_prompt=True, err=True)
    given = {"expires_in": int(expires.total_seconds()), "password": password, **options}
    link = await client.share(id, **{name: value for name, value in given.items() if value is not None})
    if as_json:
        click.echo(json.dumps({"share": link.share, "url": link.url, "expires_at": link.expires_at.isoformat()}))
        return
    click.echo(f"The link {link.share} is valid until {link.expires_at:%Y-%m-%d %H:%M:%S} UTC.", err=True)
    click.echo(link.url)
