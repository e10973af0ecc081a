"""The lint of the language finds what it is for."""

import pytest

from tests.architecture.language import in_document, in_module


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What a blob is."""', "a docstring that opens with 'What'"),
        ('def f():\n    """Those of one worker."""', "a docstring that opens with 'Those'"),
        ('class C:\n    x: int\n    """One that waits."""', "a docstring that opens with 'One that'"),
        ("# It starts anew.", "the word 'anew'"),
        ("told = 1", "the name told"),
        ("def who_tells(): ...", "the name who_tells"),
        ('LOG.info("requests under way")', "'under way' in a text"),
    ],
)
def test_a_violation_is_found(source: str, found: str) -> None:
    assert f"m.py:{source.count(chr(10)) + 1}: {found}" in map(str, in_module("m.py", source))


@pytest.mark.parametrize(
    "source", ['"""The whole of it."""', "x = 'what is there'", "# What a server says.", "retold = None"]
)
def test_the_rest_passes(source: str) -> None:
    assert list(in_module("m.py", source)) == []


def test_documents_too() -> None:
    [found] = in_document("README.md", "A line.\nThe page tells of it.")
    assert str(found) == "README.md:2: the word 'tells of'"
