"""Proof of the suites: adapters broken on purpose, each with the case that catches it."""

from collections.abc import Awaitable, Callable, Iterator
from itertools import product
from types import ModuleType
from typing import Any, TypeVar

import pytest

from domain.errors import BlobError

T = TypeVar("T")
Case = Callable[..., Awaitable[None]]

# How a case fails that has found a fault. Anything else, such as a TypeError, is a fault of the proof.
CAUGHT = (AssertionError, pytest.fail.Exception, BlobError)

CAUGHT_BY: dict[type[object], Case] = {}


def caught_by(case: Case) -> Callable[[type[T]], type[T]]:
    """Name the case that catches this adapter."""

    def note(broken: type[T]) -> type[T]:
        CAUGHT_BY[broken] = case
        return broken

    return note


def broken(module: ModuleType) -> list[Any]:
    """Return the broken adapters of a module, as parameters whose ids name the fault and the case."""
    return [pytest.param(adapter, case, id=f"{adapter.__name__} - {name_of(case)}") for adapter, case in _of(module)]


def cases(module: ModuleType) -> list[Any]:
    """Return the cases that catch the broken adapters, each once."""
    return [pytest.param(case, id=name_of(case)) for case in dict.fromkeys(case for _, case in _of(module))]


def _of(module: ModuleType) -> list[tuple[type[object], Case]]:
    return [found for found in CAUGHT_BY.items() if found[0].__module__ == module.__name__]


def cases_of(suite: type[object]) -> set[str]:
    """Return all cases of a suite."""
    return {name for name in vars(suite) if name.startswith("test_")}


def arguments_of(case: Case) -> Iterator[dict[str, Any]]:
    """Return all combinations of parameters of a case, as in pytest."""
    marks = [mark for mark in getattr(case, "pytestmark", []) if mark.name == "parametrize"]
    for row in product(*(_settings(mark) for mark in marks)):
        yield {name: value for setting in row for name, value in setting.items()}


def _settings(mark: pytest.Mark) -> list[dict[str, Any]]:
    names, values = mark.args
    if isinstance(names, str):
        return [{names: value} for value in values]
    return [dict(zip(names, value, strict=True)) for value in values]


def name_of(case: Case) -> str:
    return str(getattr(case, "__name__", case))
