"""Signed URLs made with the settings of a server on this machine, which need not run."""

import asyncio
import os
import sys
from typing import Any

import click
import msgspec

from application.access.keys import KEY_ID
from application.ports.schema import Opening
from domain.access import Grant
from domain.errors import BlobError, KeyNotFound, NoMasterKey
from entrypoints.cli.exit_codes import WRONG, tell_and_exit
from entrypoints.cli.issuing import prepare_to_issue
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.loading import load
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.access.sign import SignBody, SignedUrlBody, signed_url
from entrypoints.telemetry import logs


def sign_with_settings(wanted: dict[str, Any], key_id: str | None, origin: str | None) -> SignedUrlBody:
    """Return a signed URL, or exit with an error. `wanted`: the members of the body of POST /v1/sign."""
    try:
        body = msgspec.convert(wanted, SignBody)
        settings = load(os.environ)
        if settings.database == "memory":
            raise SettingsError("STORAGE: keys in memory end with the server. Ask it for a URL: POST /v1/sign.")
        logs.configure()
        settings = prepare_to_issue(settings)
        container = Container(settings=settings, opening=Opening.REQUIRE)
        return asyncio.run(_sign(container, body, key_id, (origin or _origin(settings)).rstrip("/")))
    except (SettingsError, StartError) as error:
        tell_and_exit(error)
    except (BlobError, HttpProblem) as error:
        click.echo(f"drivebay: {error.detail}", err=True)
        sys.exit(WRONG)


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
