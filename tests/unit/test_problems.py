"""Errors as HTTP."""

import ast
from collections import Counter

import pytest

from domain.errors import Kind
from entrypoints.http.protocol.catalogue import CATALOGUE, STATUSES
from entrypoints.http.protocol.problems import HttpProblem
from tests.architecture.language import PRODUCT, ROOT


def test_every_kind_has_a_status() -> None:
    assert set(STATUSES) == set(Kind)


def test_every_problem_has_a_text() -> None:
    assert all(entry.text for entry in CATALOGUE.values())


def test_no_text_of_the_catalogue_stands_twice() -> None:
    modules = [path.read_text() for folder in PRODUCT for path in (ROOT / folder).rglob("*.py")]
    nodes = [node.value for text in modules for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    count = Counter(nodes)
    assert {entry.text: count[entry.text] for entry in CATALOGUE.values() if count[entry.text] != 1} == {}


def test_a_problem_takes_status_and_text_from_the_catalogue() -> None:
    problem = HttpProblem("length_required")
    assert (problem.status, problem.detail) == CATALOGUE["length_required"]


def test_a_code_outside_the_catalogue_is_a_bug() -> None:
    with pytest.raises(KeyError):
        HttpProblem("no_such_code", "A detail.")
