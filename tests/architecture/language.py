"""Lint of the language: words that do not occur in code, texts and documents, and openings of docstrings.

    python -m tests.architecture.language

The words are a list, not a grammar: each of them has a plainer one (logged, returned, again, the noun itself).
"""

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("domain", "application", "adapters", "entrypoints")
OWN = ("tests/architecture/language.py", "tests/architecture/test_language.py")
DOCUMENTS = (".md", ".sh", ".yml", ".yaml", ".conf", "Dockerfile", "Makefile", ".env.example")

ANYWHERE = re.compile(r"\b(told|tells? of|anew|in vain)\b", re.IGNORECASE)
OPENING = re.compile(r"(told|tells|what|those|who|whoever|one that|anew|in vain)\b", re.IGNORECASE)
IN_NAMES = frozenset({"told", "tells", "anew", "whoever"})
IN_TEXTS = re.compile(r"\b(tells|under way|given up|meanwhile|likewise|beside|for the sake of)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Violation:
    path: str
    line: int
    found: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found}"


def in_document(path: str, text: str) -> Iterator[Violation]:
    """Words that occur nowhere."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in ANYWHERE.finditer(line):
            yield Violation(path, number, f"the word {match.group()!r}")


def in_module(path: str, source: str) -> Iterator[Violation]:
    """The same, openings of docstrings, parts of names, and words in the texts that users and operators see."""
    yield from in_test(path, source)
    tree = ast.parse(source)
    docstrings = {each.value for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if node in docstrings and (match := OPENING.match(node.value)):
                yield Violation(path, node.lineno, f"a docstring that opens with {match.group()!r}")
            elif node not in docstrings and (match := IN_TEXTS.search(node.value)):
                yield Violation(path, node.lineno, f"{match.group()!r} in a text")


def in_test(path: str, source: str) -> Iterator[Violation]:
    """Words that occur nowhere, and parts of names."""
    yield from in_document(path, source)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and IN_NAMES & set(token.string.lower().split("_")):
            yield Violation(path, token.start[0], f"the name {token.string}")


def tracked() -> list[str]:
    """The paths that git knows, without vendored files."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [
        path
        for path in listed.stdout.splitlines()
        if not any(vendored in path for vendored in ("/static/", "/vendor/")) and (ROOT / path).is_file()
    ]


def violations() -> Iterator[Violation]:
    """All of them in the product, the tests and the documents."""
    for path in tracked():
        if path.endswith(".py") and path.startswith(PRODUCT):
            yield from in_module(path, (ROOT / path).read_text())
        elif path.endswith(".py") and path not in OWN:
            yield from in_test(path, (ROOT / path).read_text())
        elif path.endswith(DOCUMENTS):
            yield from in_document(path, (ROOT / path).read_text())


if __name__ == "__main__":
    found = [*map(str, violations())]
    print(*found, sep="\n", end="\n" if found else "")
    raise SystemExit(bool(found))
