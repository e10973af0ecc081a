"""Preparation of the commands that derive secrets from the master key of the servers."""

import asyncio

from application.ports.schema import Opening
from entrypoints.cli.exit_codes import show_new_token_aside
from entrypoints.composition import lifecycle
from entrypoints.composition.container import Container
from entrypoints.config.kept_secrets import MASTER_KEY, path_of
from entrypoints.config.settings import Settings
from entrypoints.errors import StartError


def prepare_to_issue(settings: Settings) -> Settings:
    """Prepare as a server does, but make no master key if the database has keys of another one. Raises StartError.

    DATA_DIR may not be that of the servers. They would refuse all that is derived from a second master key.
    """
    prepared = lifecycle.prepare(settings, show_new_token_aside, makes_master_key=False)
    if prepared.master_key or not lifecycle.needs_data_dir(settings):
        return prepared
    if asyncio.run(_has_keys(prepared)):
        raise StartError(
            "MASTER_KEY: The database has keys, but their master key is not here: there is no file"
            f" {path_of(settings.data_dir, MASTER_KEY)}. Set MASTER_KEY to the one of the servers, or DATA_DIR to their"
            " folder. If it is lost, restart the servers, which makes a new one, and rotate all keys."
        )
    return lifecycle.prepare(settings)


async def _has_keys(settings: Settings) -> bool:
    container = Container(settings=settings, opening=Opening.REQUIRE)
    async with lifecycle.database(container):
        return bool(await container.metadata().keys.after("", 1))
