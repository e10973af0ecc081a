"""Access control lists: which documents say the same as a canned list, and what a list opens."""

from itertools import product

import pytest

from domain.access import Action
from domain.acls import AUTHENTICATED_READ, PRIVATE, PUBLIC_READ, PUBLIC_READ_WRITE, opened_by_bucket, opens_object
from entrypoints.http.s3.buckets.acls import EVERYBODY, LOG_DELIVERY, WITH_KEY, canned_of
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.xml import parse

OWNER, OTHER = "k5" * 8, "a" * 16


def grant(grantee: str, permission: str) -> str:
    kind = "URI" if ":" in grantee else "EmailAddress" if "@" in grantee else "ID"
    return f"<Grant><Grantee><{kind}>{grantee}</{kind}></Grantee><Permission>{permission}</Permission></Grant>"


def policy(*grants: str, owner: str = OWNER) -> str:
    listed = "".join(grants)
    return (
        f"<AccessControlPolicy><Owner><ID>{owner}</ID></Owner><AccessControlList>{listed}</AccessControlList>"
        "</AccessControlPolicy>"
    )


def canned(text: str, *, acls: bool = True) -> str:
    return canned_of(parse(text.encode(), "AccessControlPolicy"), OWNER, acls=acls)


FULL = grant(OWNER, "FULL_CONTROL")
READ, WRITE = grant(EVERYBODY, "READ"), grant(EVERYBODY, "WRITE")


@pytest.mark.parametrize(
    ("grants", "acl"),
    [
        ([FULL], PRIVATE),
        ([FULL, FULL], PRIVATE),
        ([FULL, READ], PUBLIC_READ),
        ([READ, FULL, READ], PUBLIC_READ),
        ([WRITE, READ, FULL], PUBLIC_READ_WRITE),
        ([FULL, grant(WITH_KEY, "READ")], AUTHENTICATED_READ),
    ],
)
def test_a_document_that_says_the_same_as_a_canned_list(grants: list[str], acl: str) -> None:
    assert canned(policy(*grants)) == acl
    assert canned(policy(*grants).replace(f"<Owner><ID>{OWNER}</ID></Owner>", "")) == acl
    if acl == PRIVATE:
        assert canned(policy(*grants), acls=False) == acl
    else:
        assert code(policy(*grants), acls=False) == "AccessControlListNotSupported"


def code(text: str, *, acls: bool = True) -> str:
    with pytest.raises(S3Error) as refused:
        canned(text, acls=acls)
    return refused.value.code


@pytest.mark.parametrize(
    ("grants", "refusal"),
    [
        # Those that no canned list says. None of them may be taken for a weaker or a stronger one.
        ([], "NotImplemented"),
        ([READ], "NotImplemented"),
        ([FULL, WRITE], "NotImplemented"),
        ([FULL, grant(EVERYBODY, "FULL_CONTROL")], "NotImplemented"),
        ([FULL, grant(EVERYBODY, "READ_ACP")], "NotImplemented"),
        ([FULL, READ, grant(WITH_KEY, "READ")], "NotImplemented"),
        ([FULL, grant(WITH_KEY, "READ"), grant(WITH_KEY, "WRITE")], "NotImplemented"),
        ([FULL, grant(LOG_DELIVERY, "WRITE")], "NotImplemented"),
        ([grant(OWNER, "READ")], "NotImplemented"),
        ([FULL, grant(OWNER, "READ")], "NotImplemented"),
        ([FULL, grant(OTHER, "READ")], "NotImplemented"),
        ([FULL, grant(OTHER, "FULL_CONTROL")], "NotImplemented"),
        ([FULL, grant("_foo", "FULL_CONTROL")], "InvalidArgument"),
        ([FULL, grant("", "FULL_CONTROL")], "InvalidArgument"),
        ([FULL, grant(EVERYBODY + "x", "READ")], "InvalidArgument"),
        ([FULL, grant("ada@example.com", "READ")], "UnresolvableGrantByEmailAddress"),
        ([FULL, grant(EVERYBODY, "read")], "MalformedACLError"),
        ([FULL, "<Grant><Permission>READ</Permission></Grant>"], "MalformedACLError"),
        ([FULL, "<Grant><Grantee/><Permission>READ</Permission></Grant>"], "MalformedACLError"),
        ([FULL, f"<Grant><Grantee><URI>{EVERYBODY}</URI></Grantee></Grant>"], "MalformedACLError"),
    ],
)
def test_other_documents(grants: list[str], refusal: str) -> None:
    assert code(policy(*grants)) == refusal


def test_nobody_gives_a_bucket_to_another_owner() -> None:
    assert code(policy(FULL, owner=OTHER)) == "AccessDenied"
    assert code("<AccessControlPolicy/>") == "MalformedACLError"


@pytest.mark.parametrize(
    ("acl", "everybody", "with_key"),
    [
        (PRIVATE, set(), set()),
        (PUBLIC_READ, {Action.LIST}, {Action.LIST}),
        (AUTHENTICATED_READ, set(), {Action.LIST}),
        (PUBLIC_READ_WRITE, *[{Action.LIST, Action.WRITE, Action.DELETE}] * 2),
        *((unknown, set(), set()) for unknown in ("", "public", "PUBLIC-READ", "of a later version")),
    ],
)
def test_what_the_list_of_a_bucket_opens(acl: str, everybody: set[Action], with_key: set[Action]) -> None:
    assert opened_by_bucket(acl, has_key=False) == everybody
    assert opened_by_bucket(acl, has_key=True) == with_key


def test_who_reads_an_object() -> None:
    acls = (PRIVATE, "", PUBLIC_READ, PUBLIC_READ_WRITE, AUTHENTICATED_READ, "PUBLIC-READ", "of a later version")
    readable = {(acl, has_key) for acl, has_key in product(acls, (False, True)) if opens_object(acl, has_key=has_key)}
    everybody = {*product((PUBLIC_READ, PUBLIC_READ_WRITE), (False, True))}
    assert readable == {*everybody, (AUTHENTICATED_READ, True)}
