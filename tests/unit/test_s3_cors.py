"""Rules for cross-origin requests: which one matches, and which documents are rules."""

from itertools import product

import pytest

from domain.buckets import CorsRule
from entrypoints.http.s3.buckets.cors import matching
from entrypoints.http.s3.buckets.settings import cors_rule
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.xml import parse

PAGE = "https://app.example.com"


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("*", ["", "null", PAGE, "a*b"], []),
        (PAGE, [PAGE], ["", PAGE + "/", PAGE.upper(), "https://app.example.co", "https://x.example.com", "*"]),
        ("https://*.example.com", [PAGE, "https://.example.com", "https://a.b.example.com"], ["https://example.com"]),
        ("*.example.com", [PAGE, "http://x.example.com"], ["https://app.example.com.org", "https://example.com"]),
        ("https://app.*", [PAGE, "https://app."], ["http://app.example.com", "https://ap"]),
        ("start*end", ["startend", "start12end"], ["startnd", "0startend", "startend0", "star*end", "starend"]),
        # The start and the end do not overlap.
        ("aba*bab", ["ababab", "abaxbab"], ["abab", "aba", "bab"]),
        ("https://a.b", ["https://a.b"], ["https://aXb"]),
    ],
)
def test_a_pattern_of_origins(pattern: str, matched: list[str], others: list[str]) -> None:
    rule = CorsRule((pattern,), ("GET",))
    assert [matching([rule], origin, "GET", []) for origin in matched] == [rule] * len(matched)
    assert [matching([rule], origin, "GET", []) for origin in others] == [None] * len(others)


@pytest.mark.parametrize(
    ("patterns", "requested", "is_allowed"),
    [
        ((), [], True),
        ((), ["content-type"], False),
        (("*",), ["content-type", "X-Any"], True),
        (("Content-Type",), ["content-type"], True),
        (("content-type",), ["Content-Type", "CONTENT-TYPE"], True),
        (("content-type",), ["content-type", "x-amz-date"], False),
        (("x-amz-*", "content-type"), ["x-amz-date", "content-type", "x-amz-"], True),
        (("x-amz-*",), ["x-am"], False),
        (("*-meta-*",), ["x-meta-a"], False),  # has a wildcard too many, which no document may have
    ],
)
def test_a_rule_allows_headers_in_any_case(patterns: tuple[str, ...], requested: list[str], is_allowed: bool) -> None:
    rule = CorsRule(("*",), ("PUT",), patterns)
    assert (matching([rule], PAGE, "PUT", requested) is rule) == is_allowed


def test_the_first_rule_that_allows_all_is_taken() -> None:
    reads = CorsRule(("*",), ("GET", "HEAD"))
    writes = CorsRule((PAGE,), ("PUT",), ("content-type",))
    others = CorsRule((PAGE, "null"), ("PUT", "GET"), ("*",))
    rules = [reads, writes, others]
    assert matching(rules, PAGE, "GET", []) is reads
    assert matching(rules, PAGE, "GET", ["range"]) is others
    assert matching(rules, PAGE, "PUT", ["Content-Type"]) is writes
    assert matching(rules, PAGE, "PUT", ["x-amz-date"]) is others
    assert matching(rules, "null", "PUT", []) is others
    assert matching(rules, "https://other", "PUT", []) is None
    assert matching(rules, PAGE, "DELETE", []) is None
    assert matching(rules, PAGE, "get", []) is None
    assert matching([], PAGE, "GET", []) is None


def rule_in(text: str) -> CorsRule:
    return cors_rule(parse(f"<CORSRule>{text}</CORSRule>".encode(), "CORSRule"))


def test_a_rule_in_a_document() -> None:
    text = (
        "<ID>first</ID><AllowedOrigin>https://a</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
        "<AllowedMethod>PUT</AllowedMethod><AllowedOrigin>*</AllowedOrigin><AllowedHeader>x-*</AllowedHeader>"
        "<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>0</MaxAgeSeconds>"
    )
    assert rule_in(text) == CorsRule(("https://a", "*"), ("GET", "PUT"), ("x-*",), ("ETag",), 0, "first")


GET = "<AllowedMethod>GET</AllowedMethod>"
ALL = "<AllowedOrigin>*</AllowedOrigin>"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *(("", "MalformedXML"), (GET, "MalformedXML"), (ALL, "MalformedXML")),
        *((f"{GET}{ALL}<MaxAgeSeconds>{each}</MaxAgeSeconds>", "MalformedXML") for each in ("", "-1", "a", "1" * 10)),
        (f"{GET}{ALL}<ID>{'x' * 256}</ID>", "MalformedXML"),
        *(
            (f"{ALL}<AllowedMethod>{each}</AllowedMethod>", "InvalidRequest")
            for each in ("get", "PATCH", "OPTIONS", "*")
        ),
        *((f"{GET}<AllowedOrigin>{each}</AllowedOrigin>", "InvalidRequest") for each in ("**", "a*b*", "", "a b", "ü")),
        *((f"{GET}{ALL}<AllowedHeader>{each}</AllowedHeader>", "InvalidRequest") for each in ("x*-*", "", "a\nb")),
        # They become a header of responses.
        *(
            (f"{GET}{ALL}<ExposeHeader>{each}</ExposeHeader>", "InvalidRequest")
            for each in ("*", "x-*", "", "a b", "a: b", "a&#13;&#10;set-cookie", "a,b")
        ),
    ],
)
def test_no_rule(text: str, code: str) -> None:
    with pytest.raises(S3Error) as refused:
        rule_in(text)
    assert refused.value.code == code


def test_each_part_of_a_rule_decides() -> None:
    rule = CorsRule((PAGE,), ("PUT",), ("a",))
    allowed = {
        (origin, method, header)
        for origin, method, header in product((PAGE, "null"), ("PUT", "GET"), ("a", "b"))
        if matching([rule], origin, method, [header])
    }
    assert allowed == {(PAGE, "PUT", "a")}
