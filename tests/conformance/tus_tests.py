"""`make tus-tests SUITE=<folder>`: sagikazarmark/tus-conformance-tests, from a folder where you have unpacked it.

    python -m tests.conformance.tus_tests <folder> [--storage ftp]

The files that fail must be those of tus_tests_expected.txt, no more and no fewer: otherwise the exit code is 1.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.backends.run import a_run
from tests.conformance import hurl
from tests.conformance.s3_tests import STORAGES, expected
from tests.http.server import PATIENCE, Server
from tests.http.wire import TOKEN

EXPECTED = Path(__file__).parent / "tus_tests_expected.txt"


def run(suite: Path, url: str) -> dict[str, str]:
    """Run all files, and return why they failed, by their names. It is empty for those that passed."""
    variables = {"base_url": url, "tus_version": "1.0.0"}
    outcomes = {}
    with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=PATIENCE) as client:
        for path in sorted(suite.glob("tests/**/*.hurl")):
            try:
                hurl.run(path.read_text(), client, variables)
            except (hurl.Failed, httpx.HTTPError) as error:
                outcomes[path.stem] = str(error) or repr(error)
            else:
                outcomes[path.stem] = ""
    return outcomes


def differences(outcomes: Mapping[str, str], reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each file that failed and was not expected to, or was and did not."""
    for name, problem in outcomes.items():
        if problem and name not in reasons:
            yield f"failed, and is not expected to: {name}: {problem}"
        if not problem and name in reasons:
            yield f"passed, and is expected to fail: {name}"
    for name in sorted(reasons.keys() - outcomes.keys()):
        yield f"expected to fail, and not in the suite: {name}"


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 if just what is expected to fail did."""
    parser = argparse.ArgumentParser(prog="make tus-tests SUITE=<folder>", description=__doc__)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--storage", choices=STORAGES, default="fs")
    given = parser.parse_args(arguments)
    if not (given.suite / "tests" / "core").exists():
        parser.error(f"{given.suite} has no tests/core. Unpack sagikazarmark/tus-conformance-tests there.")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drivebay-tus-tests-")))
        settings = stack.enter_context(STORAGES[given.storage].settings(stack.enter_context(a_run())))
        server = stack.enter_context(Server(folder, **settings))
        outcomes = run(given.suite, f"{server.url}/v1/tus")
        for line in server.log():
            if line["level"] != "info":
                print(f"logged by the server: {line}")
    different = [*differences(outcomes, expected(EXPECTED.read_text()))]
    print(*different, sep="\n", end="\n" if different else "")
    passed = sum(not problem for problem in outcomes.values())
    print(f"{passed} of {len(outcomes)} passed")
    return 1 if different or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
