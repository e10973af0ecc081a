"""`drivebay sign`: a URL for one request that needs no other credential."""

import asyncio
import os
import sys
from datetime import timedelta
from typing import Any

import click
import msgspec

from application.access.keys import KEY_ID
from application.ports.schema import Opening
from domain.access import Grant
from domain.errors import BlobError, KeyNotFound, NoMasterKey
from entrypoints.cli.exit_codes import WRONG, show_new_token_aside, tell_and_exit
from entrypoints.cli.keys import DURATION
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.signed_urls import ACTIONS
from entrypoints.http.rest.sign import SignBody, SignedUrlBody, signed_url
from entrypoints.telemetry import logs


@click.command(short_help="Make a URL that needs no other credential.")
@click.argument("method", type=click.Choice(list(ACTIONS), case_sensitive=False))
@click.argument("id")
@click.option("--expires", type=DURATION, default="1h", show_default=True, help="When it ends, from now, up to 7d.")
@click.option("--key", "key_id", help="The key that signs, by its id. The first bearer token by default.")
@click.option("--url", "origin", help="Where clients reach the server: https://files.example.com.")
@click.option("--prefix", "is_prefix", is_flag=True, help="ID is a prefix, for PUT. Replace {name} in the URL.")
@click.option("--content-type", help="For PUT: the only Content-Type that it takes.")
@click.option("--max-bytes", type=click.IntRange(0), help="For PUT: the size of the largest body that it takes.")
@click.option("--sha256", help="For PUT: the only body that it takes, by its SHA-256 in hexadecimal digits.")
@click.option("--create-only", is_flag=True, help="For PUT: replace no blob.")
@click.option("--filename", help="For GET: the name of the file that a browser saves.")
def sign(*, method: str, expires: timedelta, key_id: str | None, origin: str | None, **options: Any) -> None:
    """Make a URL with which anybody may do one thing to one blob, for a limited time.

    The URL ends at its time, or before that with the key that signed it: revoke the key, or remove the token.

    \b
    It exits with
      0  if the URL was made
      1  if it was refused
      2  if it was called wrongly, or could not start

    \b
    Examples:
      drivebay sign GET films/a.mp4 --expires 2h --filename a.mp4
      drivebay sign PUT inbox/a.pdf --content-type application/pdf --max-bytes 10000000 --create-only
      drivebay sign PUT inbox/ --prefix --expires 1d --create-only
    """
    is_prefix, ids = options.pop("is_prefix"), options.pop("id")
    named = {"prefix": ids} if is_prefix else {"id": ids}
    try:
        seconds = int(expires.total_seconds())
        body = msgspec.convert({"method": method, "expires_in": seconds, **named, **options}, SignBody)
        settings = load(os.environ)
        if settings.database == "memory":
            raise SettingsError("STORAGE: keys in memory end with the server. Ask it for a URL: POST /v1/sign.")
        logs.configure()
        settings = lifecycle.prepare(settings, show_new_token_aside)
        container = Container(settings=settings, opening=Opening.REQUIRE)
        made = asyncio.run(_sign(container, body, key_id, (origin or _origin(settings)).rstrip("/")))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    except (BlobError, HttpProblem) as error:
        click.echo(f"drivebay: {error.detail}", err=True)
        sys.exit(WRONG)
    click.echo(f"It is valid until {made.expires_at:%Y-%m-%d %H:%M:%S} UTC.", err=True)
    click.echo(made.url)


async def _sign(container: Container, body: SignBody, key_id: str | None, origin: str) -> SignedUrlBody:
    async with lifecycle.database(container):
        return await signed_url(container.signatures(), await _grant(container, key_id), body, origin)


async def _grant(container: Container, key_id: str | None) -> Grant:
    """Return the grant of a key, or of the first token. Raises KEY_NOT_FOUND and NO_MASTER_KEY."""
    master = container.master_key()
    if master is None:
        raise NoMasterKey
    signing_id = master.token_id(next(iter(container.token_grants()))) if key_id is None else key_id
    credential = await container.authenticate().signing(signing_id) if KEY_ID.fullmatch(signing_id) else None
    if credential is None:
        raise KeyNotFound
    return credential.grant


def _origin(settings: Settings) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.tls_certificate else 'http'}://{host}:{settings.port}"
