"""The language of the suite of tus, and the comparison of a run with what is expected of it."""

import httpx
import pytest

from tests.conformance import hurl
from tests.conformance.s3_tests import expected
from tests.conformance.tus_tests import EXPECTED, differences

FILE = """# A comment
POST {{base}}/a
Tus-Resumable: {{version}}
Empty:

```
# not a comment: {{version}}
POST b
```

HTTP 201
[Captures]
where: header "Location"
[Asserts]
header "Location" exists
header "Other" not exists

GET {{where}}
HTTP *
[Asserts]
"""
RESPONSE = httpx.Response(204, headers={"A": "1.0.0"})


def run(text: str, response: httpx.Response = RESPONSE) -> list[httpx.Request]:
    requests: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(201, headers={"Location": "http://test/b"}) if request.method == "POST" else response

    with httpx.Client(transport=httpx.MockTransport(respond)) as client:
        hurl.run(text, client, {"base": "http://test", "version": "1.0.0"})
    return requests


def test_the_requests_of_a_file() -> None:
    first, second = run(FILE)
    assert (first.method, str(first.url), first.headers["tus-resumable"]) == ("POST", "http://test/a", "1.0.0")
    assert first.content == b"# not a comment: 1.0.0\nPOST b\n"
    assert (second.method, str(second.url), second.content) == ("GET", "http://test/b", b"")


HOLD = [
    *('header "A" == "{{version}}"', 'header "A" contains "0.0"', 'header "A" startsWith "1"', 'header "a" exists'),
    *('header "A" matches "^[0-9]\\\\.0"', 'header "B" not exists', "status toString matches /^(200|204)$/"),
    *("status >= 204", "status <= 204", "status < 205", "status > 203"),
]
FAIL = [
    *('header "A" == "1"', 'header "A" contains "2"', 'header "A" startsWith "0"', 'header "B" exists'),
    *('header "A" matches "^0"', 'header "A" not exists', "status toString matches /^(200|201)$/", 'header "B" == "1"'),
    *("status >= 205", "status <= 203", "status < 204", "status > 204"),
]


@pytest.mark.parametrize("line", HOLD)
def test_what_holds(line: str) -> None:
    run(f"{FILE}{line}\n")


@pytest.mark.parametrize("line", FAIL)
def test_what_fails(line: str) -> None:
    with pytest.raises(hurl.Failed):
        run(f"{FILE}{line}\n")


def test_another_status_or_a_header_that_is_not_there_fails() -> None:
    for text in (FILE.replace("201", "200"), FILE.replace('where: header "Location"', 'where: header "Other"')):
        with pytest.raises(hurl.Failed):
            run(text)


@pytest.mark.parametrize("line", ['jsonpath "$.a" == 1', "[Options]", "status"])
def test_what_is_not_understood_is_not_ignored(line: str) -> None:
    with pytest.raises(ValueError, match="not understood"):
        run(f"{FILE}{line}\n")


def test_what_fails_must_be_expected_and_what_is_expected_must_fail() -> None:
    outcomes = {"a": "the status is 400", "b": "", "c": "wrong"}
    assert [*differences(outcomes, {"a": "x", "c": "y"})] == []
    assert [*differences(outcomes, {"a": "x", "b": "y", "d": "z"})] == [
        "passed, and is expected to fail: b",
        "failed, and is not expected to: c: wrong",
        "expected to fail, and not in the suite: d",
    ]


def test_each_expected_failure_has_a_reason() -> None:
    assert all(len(reason) > 10 for reason in expected(EXPECTED.read_text()).values())
