"""`drivebay keys`: credentials with limited rights."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click
import msgspec

from application.access.keys import MAX_OVERLAP, IssuedKey, Keys, NewKey
from application.clock import utc_now
from application.ports.schema import Opening
from domain.access import EVERYTHING, UNLIMITED, AccessKey, Action, Limits
from domain.errors import BlobError
from entrypoints.cli.exit_codes import WRONG, show_new_token_aside, tell_and_exit
from entrypoints.cli.issuing import prepare_to_issue
from entrypoints.cli.quantities import DURATION, SIZE
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from entrypoints.config.settings import SettingsError
from entrypoints.errors import StartError
from entrypoints.http.rest.access.keys import description, issued
from entrypoints.telemetry import logs

T = TypeVar("T")
PAGE = 1000


class Actions(click.ParamType[frozenset[Action]]):
    """Actions, separated by commas."""

    name = "actions"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[Action]:
        if isinstance(value, frozenset):
            return value
        allowed = {action.value: action for action in Action}
        names = [name.strip() for name in value.split(",")]
        for name in names:
            if name not in allowed:
                self.fail(f"{name!r} is not an action. Allowed: {', '.join(allowed)}.", param, ctx)
        return frozenset(allowed[name] for name in names)


aws_option = click.option("--aws", "as_aws", is_flag=True, help="Write the key as variables of S3 clients.")
as_json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, one object per line.")


@click.group(short_help="Credentials with limited rights.")
def keys() -> None:
    """Create, list, show, revoke and rotate keys: named credentials with limited rights.

    A key allows some actions, on the blobs whose ids begin with one of its prefixes, until it expires. All servers of
    this database accept it at once. They refuse a revoked key within five seconds.

    \b
    The actions:
      read      fetch blobs
      list      list blobs, uploads and the trash
      write     store and replace blobs, and change their properties
      delete    delete blobs
      admin     manage keys that can do no more than this one

    \b
    Every command exits with
      0  if it was done
      1  if it was refused: there is no such key, or its rights can't be granted
      2  if it was called wrongly, or could not start

    \b
    Examples:
      drivebay keys create --name ci --allow read,list --prefix films/ --expires 90d
      drivebay keys list
      drivebay keys show ab2cd3ef4gh5ij6k
      drivebay keys rotate ab2cd3ef4gh5ij6k --overlap 1d
      drivebay keys revoke ab2cd3ef4gh5ij6k
    """


@keys.command(short_help="Create a key, and print its token.")
@click.option("--name", required=True, help="For people. It need not be unique.")
@click.option("--allow", "actions", type=Actions(), required=True, help="Actions, separated by commas.")
@click.option("--prefix", "prefixes", multiple=True, help="How the ids begin. All by default. May be repeated.")
@click.option("--expires", type=DURATION, help="When it ends, from now: 12h, 90d. Never by default.")
@click.option("--rate", type=float, help="Requests per second, of each process of a server. No limit by default.")
@click.option("--max-blob", type=SIZE, help="The size of the largest blob that it may store: 20M.")
@click.option("--quota", type=SIZE, help="The size of all blobs that it may have stored: 10G.")
@as_json_option
@aws_option
def create(
    *,
    name: str,
    actions: frozenset[Action],
    prefixes: tuple[str, ...],
    expires: timedelta | None,
    rate: float | None,
    max_blob: int | None,
    quota: int | None,
    as_json: bool,
    as_aws: bool,
) -> None:
    """Create a key. Its token is the only line on the standard output, and is shown only now.

    \b
    Examples:
      drivebay keys create --name backup --allow read,list
      TOKEN=$(drivebay keys create --name ci --allow read,list --prefix films/ --expires 90d)
      curl -H "Authorization: Bearer $TOKEN" 'http://127.0.0.1:8000/v1/blobs?prefix=films/'
      export $(drivebay keys create --name s3 --allow read,write,delete,list --aws)
    """
    expires_at = None if expires is None else _from_now(expires)
    limits = Limits(rate, max_blob, quota)
    new = NewKey(name, actions, prefixes, expires_at, UNLIMITED if limits == UNLIMITED else limits)
    _show_issued(_run(lambda keys: keys.create(EVERYTHING, new), issues=True), as_json=as_json, as_aws=as_aws)


@keys.command("list", short_help="List all keys.")
@as_json_option
def list_keys(*, as_json: bool) -> None:
    """List all keys that are not revoked, in the order of their names."""
    for key in sorted(_run(_all), key=lambda key: (key.name, key.id)):
        click.echo(_json(key) if as_json else _line(key))


@keys.command(short_help="Show a key.")
@click.argument("key")
@as_json_option
def show(*, key: str, as_json: bool) -> None:
    """Show what a key allows, and when it was used. Its secret is not kept, so it can't be shown again."""
    found = _run(lambda keys: keys.find(EVERYTHING, key))
    click.echo(_json(found) if as_json else _text(found))


@keys.command(short_help="Revoke a key.")
@click.argument("key")
def revoke(*, key: str) -> None:
    """Revoke a key, and all that was signed with it. All servers refuse it within five seconds."""
    _run(lambda keys: keys.revoke(EVERYTHING, key))
    click.echo(f"{key} is revoked.", err=True)


@keys.command(short_help="Give a key a new secret, and print its token.")
@click.argument("key")
@click.option(
    "--overlap",
    type=DURATION,
    default="1h",
    show_default=True,
    help=f"For how long the former secret stays valid, up to {MAX_OVERLAP.days}d.",
)
@as_json_option
@aws_option
def rotate(*, key: str, overlap: timedelta, as_json: bool, as_aws: bool) -> None:
    """Give a key a new secret. The former one stays valid for a while, so that no client fails in between.

    Also after the master key was replaced: the key has a secret of the new one then.
    """
    rotated = _run(lambda keys: keys.rotate(EVERYTHING, key, overlap), issues=True)
    _show_issued(rotated, as_json=as_json, as_aws=as_aws)


def _from_now(expires: timedelta) -> datetime:
    try:
        return utc_now() + expires
    except OverflowError:
        message = "that is too far in the future. Leave it out for a key that never expires."
        raise click.BadParameter(message, param_hint="--expires") from None


async def _all(keys: Keys) -> list[AccessKey]:
    found = list[AccessKey]()
    while page := await keys.list(EVERYTHING, found[-1].id if found else "", PAGE):
        found += page
    return found


def _run(work: Callable[[Keys], Awaitable[T]], *, issues: bool = False) -> T:
    """Do the work, or exit with an error. `issues`: it issues a secret, so it needs the master key."""
    try:
        settings = load(os.environ)
        if settings.database == "memory":
            raise SettingsError("STORAGE: keys in memory end with the server. Ask it for some: POST /v1/keys.")
        logs.configure()
        if issues:
            settings = prepare_to_issue(settings)
        else:
            settings = lifecycle.prepare(settings, show_new_token_aside, makes_master_key=False)
        container = Container(settings=settings, opening=Opening.REQUIRE)
        return asyncio.run(_in_database(container, work))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    except BlobError as error:
        click.echo(f"drivebay: {error.detail}", err=True)
        sys.exit(WRONG)


async def _in_database(container: Container, work: Callable[[Keys], Awaitable[T]]) -> T:
    async with lifecycle.database(container):
        return await work(container.keys())


def _show_issued(key: IssuedKey, *, as_json: bool, as_aws: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(issued(key)))
        return
    click.echo(_text(key.key), err=True)
    if as_aws:
        click.echo("The secret is shown only now:", err=True)
        click.echo(f"AWS_ACCESS_KEY_ID={key.key.id}\nAWS_SECRET_ACCESS_KEY={key.secret}")
        return
    click.echo("The token is shown only now:", err=True)
    click.echo(key.token)


def _json(key: AccessKey) -> bytes:
    return msgspec.json.encode(description(key))


def _line(key: AccessKey) -> str:
    used = "never used" if key.used_at is None else f"used {_time(key.used_at)}"
    return f"{key.id}  {key.name}  {_rights(key)}  {_expiry(key)}  {used}"


def _text(key: AccessKey) -> str:
    lines = [
        f"key      {key.id}",
        f"name     {key.name}",
        f"allows   {_rights(key)}",
        f"created  {_time(key.created_at)}",
        f"expires  {_time(key.expires_at) if key.expires_at else 'never'}",
        f"secret   number {key.generation}",
    ]
    if key.former_until is not None:
        lines.append(f"         number {key.generation - 1} until {_time(key.former_until)}")
    lines += _limits(key)
    lines.append(f"used     {_time(key.used_at) if key.used_at else 'never'}")
    return "\n".join(lines)


def _limits(key: AccessKey) -> list[str]:
    limits = key.limits
    lines = []
    if limits.requests_per_second is not None:
        lines.append(f"rate     {limits.requests_per_second:g} requests per second")
    if limits.max_blob_bytes is not None:
        lines.append(f"blobs    up to {limits.max_blob_bytes:,} bytes")
    if limits.quota_bytes is not None:
        lines.append(f"quota    {key.stored_bytes:,} of {limits.quota_bytes:,} bytes are used")
    return lines


def _rights(key: AccessKey) -> str:
    actions = ",".join(action.value for action in Action if action in key.actions)
    return f"{actions} on {'all blobs' if key.prefixes == ('',) else ', '.join(map(repr, key.prefixes))}"


def _expiry(key: AccessKey) -> str:
    return "never expires" if key.expires_at is None else f"expires {_time(key.expires_at)}"


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
