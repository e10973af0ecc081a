"""The comparison of a run of ceph/s3-tests with what is expected of it."""

import json
import re

import pytest

from tests.conformance.s3_tests import EXPECTED, NOT_CORE, Results, differences, expected, feature_of

LINES = [
    {"name": "test_object_copy", "markers": ["copy"]},
    {"name": "test_bucket_list", "markers": []},
    {"name": "test_cors_wildcard", "markers": []},
    {"name": "test_absent", "markers": []},
    {"name": "test_object_copy", "outcome": "failed", "said": "...\nE   wrong"},
    {"name": "test_bucket_list", "outcome": "passed"},
    {"name": "test_cors_wildcard", "outcome": "failed"},
    {"name": "test_absent", "outcome": "skipped"},
]
RESULTS = Results.read(map(json.dumps, LINES))


def test_what_fails_must_be_expected_and_what_is_expected_must_fail() -> None:
    assert [*differences(RESULTS, {"test_object_copy": "a", "test_cors_wildcard": "b"})] == []
    assert [*differences(RESULTS, {"test_bucket_list": "a", "test_cors_wildcard": "b", "test_gone": "c"})] == [
        "failed, and is not expected to: test_object_copy: E   wrong",
        "passed, and is expected to fail: test_bucket_list",
        "expected to fail, and not in the suite: test_gone",
    ]


def test_the_core_is_what_needs_no_feature_that_is_not_there() -> None:
    assert RESULTS.core == {"test_object_copy", "test_bucket_list", "test_absent"}
    assert RESULTS.counts(RESULTS.core) == "1 passed, 1 failed, 1 skipped"
    assert feature_of("test_put_object", ["copy", "sse_s3"]) == "server-side encryption"
    assert feature_of("test_post_object_expired_policy", []) is None


def test_each_expected_failure_has_a_reason() -> None:
    reasons = expected(EXPECTED.read_text())
    assert all(re.fullmatch(r"test_\S+", name) for name in reasons)
    assert all(len(reason) > 10 for reason in reasons.values())
    assert {feature.name for feature in NOT_CORE} > {feature_of(name, []) for name in reasons} - {None}
    for wrong in ("test_a\n", "# reason\ntest_a\n# another\ntest_a\n"):
        with pytest.raises(ValueError, match="test_a"):
            expected(wrong)
