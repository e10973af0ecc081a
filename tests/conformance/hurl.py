"""Tests in the language of hurl (https://hurl.dev), as far as the suite of tus uses it.

An entry is a request and the response that is expected: a line with method and URL, headers, a body between lines of
three backticks, `HTTP` with a status or `*`, and sections with captures and asserts. `{{name}}` is a variable.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile

import httpx

FENCE = "```"
REQUEST = re.compile(r"([A-Z]+) (\S+)")
RESPONSE = re.compile(r"HTTP (\*|[0-9]{3})")
HEADER = re.compile(r"([A-Za-z0-9-]+): *(.*)")
CAPTURE = re.compile(r'(\w+): header "([^"]+)"')
ASSERT = re.compile(r'(?:header "(?P<header>[^"]+)"|(?P<status>status(?: toString)?)) (?P<predicate>\S.*)')
VARIABLE = re.compile(r"\{\{(\w+)\}\}")


class Failed(Exception):
    """A response is not as expected."""


@dataclass
class Entry:
    """A request, and what is expected of its response."""

    method: str
    url: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: str = ""
    status: str = "*"
    captures: list[tuple[str, str]] = field(default_factory=list)
    asserts: list[str] = field(default_factory=list)


def parse(text: str) -> list[Entry]:
    """Return the entries of a file. Raises ValueError for a line that is not understood."""
    entries: list[Entry] = []
    section = "request"
    lines = iter(text.splitlines())
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        if (found := REQUEST.fullmatch(line)) and found[1] != "HTTP":
            entries.append(Entry(found[1], found[2]))
            section = "request"
            continue
        entry = entries[-1]
        if line == FENCE:
            entry.body = "".join(f"{each}\n" for each in takewhile(lambda each: each.strip() != FENCE, lines))
        elif found := RESPONSE.fullmatch(line):
            entry.status, section = found[1], "response"
        elif line in ("[Captures]", "[Asserts]"):
            section = line
        elif section == "request" and (found := HEADER.fullmatch(line)):
            entry.headers.append((found[1], found[2]))
        elif section == "[Captures]" and (found := CAPTURE.fullmatch(line)):
            entry.captures.append((found[1], found[2]))
        elif section == "[Asserts]" and ASSERT.fullmatch(line):
            entry.asserts.append(line)
        else:
            raise ValueError(f"this line is not understood: {line}")
    return entries


def run(text: str, client: httpx.Client, variables: Mapping[str, str]) -> None:
    """Run the entries of a file, one after another. Raises Failed."""
    known = dict(variables)
    for entry in parse(text):
        headers = [(name, _filled(value, known)) for name, value in entry.headers]
        body = _filled(entry.body, known).encode()
        response = client.request(entry.method, _filled(entry.url, known), headers=headers, content=body)
        for problem in problems(entry, response, known):
            raise Failed(f"{entry.method}: {problem}")
        for name, header in entry.captures:
            if header not in response.headers:
                raise Failed(f"{entry.method}: there is no {header} to capture")
            known[name] = response.headers[header]


def problems(entry: Entry, response: httpx.Response, variables: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each expectation that the response does not meet."""
    if entry.status not in ("*", str(response.status_code)):
        yield f"the status is {response.status_code}, not {entry.status}: {response.text.strip()}"
    for line in entry.asserts:
        found = ASSERT.fullmatch(line)
        assert found is not None
        value = response.headers.get(found["header"]) if found["header"] else str(response.status_code)
        if not _holds(value, _filled(found["predicate"], variables)):
            yield f"{line}, but it is {value!r}"


def _holds(value: str | None, predicate: str) -> bool:
    name, _, argument = predicate.partition(" ")
    if name == "not":
        return not _holds(value, argument)
    if name == "exists":
        return value is not None
    if value is None:
        return False
    expected = _literal(argument)
    match name:
        case "==":
            return value == expected
        case "contains":
            return expected in value
        case "startsWith":
            return value.startswith(expected)
        case "matches":
            return re.search(expected, value) is not None
        case "<" | "<=" | ">" | ">=":
            number, limit = int(value), int(expected)
            return {"<": number < limit, "<=": number <= limit, ">": number > limit, ">=": number >= limit}[name]
    raise ValueError(f"this predicate is not understood: {predicate}")


def _literal(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == "/":
        return text[1:-1]
    return text[1:-1].replace("\\\\", "\\").replace('\\"', '"') if text.startswith('"') else text


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return VARIABLE.sub(lambda found: variables[found[1]], text)
