"""The header fields of a request."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrypoints.http.protocol.fields.headers import READ_ELSEWHERE, fields

SOURCES = sorted((Path(__file__).parents[2] / "entrypoints" / "http").rglob("*.py"))


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], {}),
        ([(b"range", b"bytes=0-1"), (b"host", b"h")], {"range": "bytes=0-1"}),
        ([(b"if-match", b'"a"'), (b"x", b"1"), (b"if-match", b'"\xe9"')], {"if-match": '"a", "\u00e9"', "x": "1"}),
    ],
)
def test_lines_of_a_name_are_one_list(lines: list[tuple[bytes, bytes]], found: dict[str, str]) -> None:
    scope: Any = {"headers": lines}
    assert fields(scope) == found


def test_no_handler_reads_a_field_that_is_left_out() -> None:
    read = {name for path in SOURCES for name in _fields_read(ast.parse(path.read_text()))}
    assert "if-match" in read
    assert read.isdisjoint(name.decode() for name in READ_ELSEWHERE)


def _fields_read(tree: ast.AST) -> Iterator[str]:
    """The names that a module looks up as text. The names of raw headers are bytes."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.Call(ast.Attribute(ast.Name("headers"), "get"), [ast.Constant(str(name)), *_])
                | ast.Compare(ast.Constant(str(name)), [ast.In() | ast.NotIn()], [ast.Name("headers")])
                | ast.Subscript(ast.Name("headers"), ast.Constant(str(name)))
            ):
                yield name
