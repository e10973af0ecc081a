"""`make s3-tests SUITE=<folder>`: the suite ceph/s3-tests, from a folder where you have unpacked it, against a server.

    python -m tests.conformance.s3_tests <folder> [--storage ftp] [--core]

It runs test_s3.py and test_headers.py. The items that fail must be those of s3_tests_expected.txt,
no more and no fewer: otherwise the exit code is 1.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.backends.run import a_run
from tests.check.command import drivebay_apart
from tests.conformance.environments import environment
from tests.conformance.s3.endpoint import RIGHTS, SCRIPTS
from tests.http.combinations import Combination
from tests.http.server import Server

EXPECTED = Path(__file__).parent / "s3_tests_expected.txt"
FILES = ["s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py"]
TIMEOUT = 900  # seconds, of one item: some store a thousand objects, one after the other
STORAGES = {
    "fs": Combination("SQLite", "fs"),
    "ftp": Combination("MariaDB", "ftp"),
    "postgresql": Combination("PostgreSQL", "database"),
    "mariadb": Combination("MariaDB", "database"),
    "s3": Combination("PostgreSQL", "s3"),
}
USERS = {
    "s3 main": "main",
    "s3 alt": "alt",
    "s3 tenant": "tenant",
    "iam": "iam",
    "iam root": "iam",
    "iam alt root": "iam",
}


# A key without a right to the buckets of the others, because the suite's users have none to each other's buckets.
STRANGER = "alt"


class Feature(NamedTuple):
    """A feature beyond the core of S3. Its items have such a marker or name, matched at the beginning."""

    name: str
    markers: str
    names: str


# Names of items that give rights to another user, or to everybody, by access control lists.
WITH_LISTS = [
    "access_bucket",
    ".*_acls?(_|$)",
    ".*obj_public",
    "object_raw_(get|authenticated)(_bucket_gone|_object_gone|_x_amz_expires_.*)?$",
    "bucket_list(v2)?_objects_anonymous$",
    "post_object_(tags_)?anonymous_request",
    "post_object_(authenticated_no_content_type|authenticated_request_bad_access_key|success_redirect_action)",
    "post_object_set_(invalid_)?success_code",
    "object_anon_put_write_access",
    "object_delete_key_bucket_gone",
    "object_copy_not_owned",
    "expected_bucket_owner",
    "list_multipart_upload_owner",
    "100_continue$",
]
NOT_CORE = [
    Feature("bucket logging", "bucket_logging", ".*bucket_logging"),
    Feature("server-side encryption", "encryption|sse_s3|bucket_encryption", ".*(encrypt|sse_)"),
    Feature("lifecycles and storage classes", "lifecycle|storage_class|cloud_", ".*(lifecycle|storage_class|cloud_)"),
    Feature(
        "policies of buckets",
        "bucket_policy",
        ".*(bucket(v2)?_policy|policy_status|policy_prefix|with_policy|public_block|block_public|ignore_public)",
    ),
    Feature("accounts, roles and tenants", "iam|object_ownership", ".*(_tenant|bucket_owner_|ownership)"),
    Feature("versioning", "versioning|delete_marker", ".*(versioning|versioned|_version_if|_current_if|put_current)"),
    Feature("object lock", "object_lock", "test_object_lock"),
    Feature("websites", "s3website", "test_website"),
    Feature("access control lists", "", f"test_({'|'.join(WITH_LISTS)})"),
    Feature("extensions of Ceph", "", ".*(_usage|bucket_head_extended|unordered)"),
    Feature("cross-origin rules", "cors", "test_(set_)?cors"),
    Feature("signatures of version 2", "auth_aws2", ".*_aws2$"),
]


class Line(msgspec.Struct):
    """A line of what the plugin in `suite_results` writes."""

    name: str
    markers: list[str] | None = None
    outcome: str | None = None
    said: str = ""


@dataclass
class Results:
    """Markers, outcomes (passed, failed or skipped) and messages, by the names of items."""

    markers: dict[str, list[str]] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, lines: Iterable[str]) -> "Results":
        results = cls()
        for text in lines:
            line = msgspec.json.decode(text, type=Line)
            if line.markers is not None:
                results.markers[line.name] = line.markers
            if line.outcome is not None:
                results.outcomes[line.name] = line.outcome
                results.said[line.name] = line.said
        return results

    @property
    def core(self) -> set[str]:
        return {name for name, markers in self.markers.items() if feature_of(name, markers) is None}

    def with_outcome(self, outcome: str, names: set[str]) -> set[str]:
        return {name for name in names if self.outcomes.get(name) == outcome}

    def counts(self, names: set[str]) -> str:
        passed, failed, skipped = (len(self.with_outcome(each, names)) for each in ("passed", "failed", "skipped"))
        return f"{passed} passed, {failed} failed, {skipped} skipped"


def feature_of(name: str, markers: Iterable[str]) -> str | None:
    """Return the name of the first feature of NOT_CORE that an item needs, or None if it is in the core."""
    for feature in NOT_CORE:
        marked = feature.markers and any(re.match(feature.markers, marker) for marker in markers)
        if marked or re.match(feature.names, name):
            return feature.name
    return None


def expected(text: str) -> dict[str, str]:
    """The reasons of expected failures, by the names of items. A line `# reason` is above its names."""
    reasons: dict[str, str] = {}
    reason = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            reason = line.removeprefix("#").strip()
        elif not reason:
            raise ValueError(f"{line} has no reason: write one above it, after #")
        elif line in reasons:
            raise ValueError(f"{line} is there twice")
        else:
            reasons[line] = reason
    return reasons


def differences(results: Results, reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each item that failed and was not expected to, or was and did not."""
    failed = results.with_outcome("failed", set(results.outcomes))
    for name in sorted(failed - reasons.keys()):
        said = results.said[name].strip().splitlines()
        yield f"failed, and is not expected to: {name}: {said[-1] if said else ''}"
    for name in sorted(reasons.keys() & results.outcomes.keys() - failed):
        yield f"{results.outcomes[name]}, and is expected to fail: {name}"
    for name in sorted(reasons.keys() - results.markers.keys()):
        yield f"expected to fail, and not in the suite: {name}"


@contextmanager
def serving(storage: str, folder: Path) -> Iterator[dict[str, str]]:
    """A server for S3 only, on this storage. Yields the environment for the suite."""
    with ExitStack() as stack:
        backends = stack.enter_context(a_run())
        settings = stack.enter_context(STORAGES[storage].settings(backends))
        settings |= {"S3_API": "only", "S3_API_ACLS": "true", "S3_API_SIGNATURE_V2": "true", "WORKERS": "2"}
        server = stack.enter_context(Server(folder, **settings))
        keys = {name: _key(folder, name, settings) for name in dict.fromkeys(USERS.values())}
        conf = folder / "s3tests.conf"
        conf.write_text(configuration(server.port, keys))
        yield {"PATH": os.environ["PATH"], "HOME": str(folder), "S3TEST_CONF": str(conf)}
        for line in server.log():
            if line["level"] != "info":
                print(f"logged by the server: {line}")


def _key(folder: Path, name: str, settings: Mapping[str, str]) -> dict[str, str]:
    arguments = ["keys", "create", "--name", name, "--allow", ",".join(RIGHTS), "--json"]
    arguments += ["--prefix", "elsewhere/"] if name == STRANGER else []
    created = drivebay_apart(folder, *arguments, settings=settings)
    if created.code:
        raise RuntimeError(f"no key was created: {created.errors}")
    key: dict[str, str] = msgspec.json.decode(created.out)
    return key


def configuration(port: int, keys: Mapping[str, Mapping[str, str]]) -> str:
    """The suite's configuration file."""
    lines = ["[DEFAULT]", "host = 127.0.0.1", f"port = {port}", "is_secure = False", "ssl_verify = False"]
    lines += [
        "[fixtures]",
        "bucket prefix = drivebay-{random}-",
        "iam name prefix = s3-tests-",
        "iam path prefix = /s3-tests/",
    ]
    for section, user in USERS.items():
        key, secret = keys[user]["key"], keys[user]["secret"]
        lines += [f"[{section}]", f"display_name = {key}", f"user_id = {key}", f"email = {user}@example.com"]
        lines += [f"access_key = {key}", f"secret_key = {secret}"]
        lines += {"s3 main": ["api_name = default"], "s3 tenant": ["tenant = testx"]}.get(section, [])
    return "\n".join(lines) + "\n"


def run(suite: Path, folder: Path, variables: Mapping[str, str], *options: str) -> Results:
    """Run the suite, and return what was collected and came of it."""
    written = folder / "results.jsonl"
    written.write_bytes(b"")
    command = [str(environment("s3_tests") / "python"), "-m", "pytest", "-p", "no:cacheprovider", "-p", "suite_results"]
    subprocess.run(
        [*command, "--quiet", "--tb=no", "--no-summary", "--timeout", str(TIMEOUT), *options, *FILES],
        cwd=suite,
        env={
            **variables,
            "PYTHONPATH": str(SCRIPTS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "SUITE_RESULTS": str(written),
        },
        check=False,
    )
    return Results.read(written.read_text().splitlines())


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 if just what is expected to fail did."""
    parser = argparse.ArgumentParser(prog="make s3-tests SUITE=<folder>", description=__doc__)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--storage", choices=STORAGES, default="fs")
    parser.add_argument("--core", action="store_true", help="only the items of the core, which take less time")
    parser.add_argument("--messages", type=Path, help="a file for the messages of the items that failed")
    given = parser.parse_args(arguments)
    if not (given.suite / FILES[0]).exists():
        parser.error(f"{given.suite} has no {FILES[0]}. Unpack ceph/s3-tests there.")
    reasons = expected(EXPECTED.read_text())
    with tempfile.TemporaryDirectory(prefix="drivebay-s3-tests-") as temporary:
        folder = Path(temporary)
        with serving(given.storage, folder) as variables:
            if given.core:
                collected = run(given.suite, folder, variables, "--collect-only", "--quiet", "--quiet")
                (folder / "core").write_text("\n".join(collected.core))
                variables["SUITE_ONLY"] = str(folder / "core")
            results = run(given.suite, folder, variables)
    if not results.outcomes:
        print("The suite ran no item.")
        return 1
    if given.messages:
        failed = sorted(results.with_outcome("failed", set(results.outcomes)))
        given.messages.write_text("".join(f"=== {name}\n{results.said[name]}\n" for name in failed))
    different = [*differences(results, reasons)]
    print(*different, sep="\n", end="\n" if different else "")
    print(f"all: {results.counts(set(results.outcomes))}")
    print(f"core: {results.counts(results.core)}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
