"""Advice about a step of a check that failed: it follows from the step and from the error."""

from typing import Any

from adapters.storage.backend import Backend
from adapters.storage.backends import BACKENDS
from application.checks.checklist import Step
from domain.errors import BlobError, Kind, Reason

DATABASE = BACKENDS["database"]
OF_THE_DATABASE = ("note", "forget")
REACHING = ("connect", "reach")


def about_start(name: str, step: Step, error: BlobError) -> str:
    """Say why a server can't start, with the setting to blame first."""
    backend = BACKENDS[name]
    if step.name in OF_THE_DATABASE:
        return f"DATABASE_URL: can't write a row: {error.detail} {DATABASE.rights}."
    if step.name in REACHING:
        return f"{backend.settings}: {error.detail}"  # which already has the advice
    return f"{backend.settings}: can't {step.name}: {error.detail} {_about(backend, step.name, error)}"


def about_database(step: str, error: BlobError) -> str:
    """Say what to do about a step of the database that failed."""
    if error.reason is None and step not in REACHING and error.kind is Kind.UNAVAILABLE:
        return f"{DATABASE.rights}."
    return _about(DATABASE, step, error)


def about_storage(name: str, step: str, error: BlobError) -> str:
    """Say what to do about a step of a storage that failed."""
    return _about(BACKENDS[name], step, error)


def _about(backend: Backend[Any], step: str, error: BlobError) -> str:
    return _by_kind(backend, error) or _by_reason(backend, step, error) or _by_step(backend, step)


def _by_kind(backend: Backend[Any], error: BlobError) -> str:
    match error.kind:
        case Kind.NO_SPACE:
            return "Free some space, or give it more."
        case Kind.INTEGRITY:
            return "Don't store blobs there: something changes them, or does not keep its word."
        case Kind.TIMEOUT:
            return f"See whether it runs, and whether a firewall is in between; check {_address(backend)}."
        case _:
            return ""


def _by_reason(backend: Backend[Any], step: str, error: BlobError) -> str:
    match error.reason:
        case Reason.DENIED:
            return f"{backend.rights}."
        case Reason.LOGIN:
            return f"Check {backend.login or backend.settings}."
        case Reason.ABSENT:
            return f"Create it, or check {backend.place or backend.settings}."
        case Reason.UNREACHABLE:
            return f"See whether it runs, and whether this machine reaches it; check {_address(backend)}."
        case Reason.UNSUPPORTED:
            return f"The server lacks what Drivebay needs to {step}. Use another server, or a newer version of it."
        case _:
            return ""


def _by_step(backend: Backend[Any], step: str) -> str:
    if step in REACHING:
        return f"Check {backend.settings}."
    return "The server gives no reason that Drivebay knows. See its log."


def _address(backend: Backend[Any]) -> str:
    return backend.address or backend.settings
