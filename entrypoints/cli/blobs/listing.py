"""`drivebay ls` and `stat`: list blobs, and show the properties of one."""

import json
from typing import Any

import click

from entrypoints.cli.blobs.completion import BLOB
from entrypoints.cli.blobs.running import command, json_option
from entrypoints.client import AsyncClient, BlobMeta


def members_of(meta: BlobMeta) -> dict[str, Any]:
    """Return a blob as members of JSON. Properties that are not set are absent."""
    found = {name: getattr(meta, name) for name in BlobMeta.__dataclass_fields__}
    found |= {name: found[name].isoformat() for name in ("created_at", "modified_at", "expires_at") if found[name]}
    return {
        name: dict(value) if name == "metadata" else value
        for name, value in found.items()
        if value not in (None, "", {})
    }


@command("ls", "List blobs.")
@click.argument("prefix", type=BLOB, default="")
@click.option("-r", "--recursive", is_flag=True, help="All blobs below, not only the next level.")
@json_option
async def ls(client: AsyncClient, *, prefix: str, recursive: bool, as_json: bool) -> None:
    """List the blobs whose ids begin with PREFIX, up to the next slash, with their sizes in bytes and their times.

    End the PREFIX with a slash to look into it, as into a folder.

    \b
    Examples:
      drivebay ls
      drivebay ls films/
      drivebay ls --recursive --json films/ | jq .size
    """
    if recursive:
        async for meta in client.list(prefix, metadata=as_json):
            _show(meta, json_too=as_json)
        return
    found = await client.list_with_delimiter(prefix, metadata=as_json)
    for name in found.prefixes:
        click.echo(json.dumps({"prefix": name}, ensure_ascii=False) if as_json else f"{'-':>16}  {'-':20}  {name}")
    for meta in found.blobs:
        _show(meta, json_too=as_json)


def _show(meta: BlobMeta, *, json_too: bool) -> None:
    if json_too:
        click.echo(json.dumps(members_of(meta), ensure_ascii=False))
    else:
        time = f"{meta.created_at:%Y-%m-%dT%H:%M:%SZ}" if meta.created_at else "-"
        click.echo(f"{meta.size:16}  {time:20}  {meta.id}")


@command("stat", "Show the properties of a blob.")
@click.argument("id", type=BLOB)
@json_option
async def stat(client: AsyncClient, *, id: str, as_json: bool) -> None:  # noqa: A002
    """Show size, ETag, SHA-256, content type, times and metadata of a blob.

    \b
    Examples:
      drivebay stat films/film.mp4
      drivebay stat films/film.mp4 --json | jq --raw-output .etag
    """
    members = members_of(await client.head(id))
    if as_json:
        click.echo(json.dumps(members, ensure_ascii=False))
        return
    metadata = members.pop("metadata", {})
    for name, value in [*members.items(), *((f"meta {name}", value) for name, value in metadata.items())]:
        click.echo(f"{name.replace('_', ' '):20} {value}")
