"""Errors as HTTP."""

from domain.errors import Kind
from entrypoints.http.protocol.problems import STATUSES, TOLD


def test_every_kind_has_a_status() -> None:
    assert set(STATUSES) == set(Kind)


def test_what_is_our_fault_is_told_in_general_terms() -> None:
    assert {kind for kind, status in STATUSES.items() if status >= 500} == set(TOLD)
