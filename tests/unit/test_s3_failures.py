"""The errors of S3: a code for each kind of error, and no code that nothing uses."""

import ast

from domain.errors import Kind
from entrypoints.http.s3.errors import CATALOGUE
from entrypoints.http.s3.failures import CODES, PROBLEMS
from tests.architecture.language import ROOT


def test_every_kind_has_a_code_of_the_catalogue() -> None:
    assert set(CODES) == set(Kind)
    assert {*CODES.values(), *PROBLEMS.values()} <= set(CATALOGUE)


def test_every_code_of_the_catalogue_is_used() -> None:
    modules = [path for path in (ROOT / "entrypoints/http/s3").rglob("*.py") if path.name != "errors.py"]
    trees = [ast.parse(path.read_text()) for path in modules]
    texts = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(CATALOGUE) - texts == set()
