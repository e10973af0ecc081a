"""The option --storage: some of the storages that are configured."""

from entrypoints.config import values
from entrypoints.config.settings import Settings, SettingsError


def chosen(names: tuple[str, ...], settings: Settings) -> frozenset[str]:
    """Return the storages with these names. Raises SettingsError if one is not configured."""
    try:
        found = frozenset(values.storage(name) for name in names)
    except ValueError as error:
        raise SettingsError(f"--storage: {error}") from None
    if unknown := sorted(found - {*settings.storages}):
        raise SettingsError(f"--storage: {unknown[0]} is not configured. Choose from: {', '.join(settings.storages)}.")
    return found


def the_one(option: str, name: str, settings: Settings) -> str:
    """Return the storage with this name. Raises SettingsError if it is not configured."""
    try:
        found = values.storage(name)
    except ValueError as error:
        raise SettingsError(f"{option}: {error}") from None
    if found not in settings.storages:
        raise SettingsError(f"{option}: {found} is not configured. Choose from: {', '.join(settings.storages)}.")
    return found
