"""Advice about parts of the configuration that do not work."""

from collections.abc import Sequence

from application.ports.features import MissingFeature
from domain.errors import BlobError
from entrypoints.composition import advice
from entrypoints.config.settings import Settings

MADE_AT_THE_START = "`drivebay serve` makes it at its start, and so does `drivebay migrations upgrade` now."
MIGRATE = "`drivebay serve` brings them to the newest at its start, and so does `drivebay migrations upgrade` now."
AFTER_THE_DATABASE = "A probe is written when the database takes rows: check again then."
MASTER_KEY = (
    "They are refused here. Set MASTER_KEY to the one of the servers that made them. If it is lost, rotate them:"
    " `drivebay keys rotate`."
)
SET_MASTER_KEY = "To use keys, set MASTER_KEY, to the same secret on all replicas."
READ_ONLY = "READ_ONLY is set, so nothing was written to try it."
CREATE = "Create it."
CLOCKS = "Let both machines set their clocks by NTP: blobs are dated by this one's."
OLDER = "Until then older blobs on it can't be read; new ones don't go there."


def about_missing(features: Sequence[MissingFeature]) -> str:
    """Name the features that the server of a storage lacks, and what Drivebay does instead."""
    return " ".join(f"The server lacks {feature.name}. {feature.degradation}" for feature in features)


def to_do(part: str, step: str, error: BlobError, settings: Settings) -> str:
    """Return advice about the error of a step of the database, or of a storage."""
    if part == "database":
        return advice.about_database(step, error)
    backend = part.removeprefix("storage ")
    if step in advice.OF_THE_DATABASE:
        return "It is the database that fails: see there."
    first = advice.about_storage(backend, step, error)
    return first if backend == settings.storage else f"{first} {OLDER}"
