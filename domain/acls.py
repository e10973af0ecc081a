"""Canned access control lists: rights that a bucket or an object gives to others than the keys for its prefix.

Source: Amazon S3 User Guide, Access control list (ACL) overview, Canned ACL.
"""

from domain.access import Action

PRIVATE = "private"
PUBLIC_READ = "public-read"
PUBLIC_READ_WRITE = "public-read-write"
AUTHENTICATED_READ = "authenticated-read"

_NOTHING = frozenset[Action]()
_OF_BUCKETS = {
    PUBLIC_READ: frozenset([Action.LIST]),
    PUBLIC_READ_WRITE: frozenset([Action.LIST, Action.WRITE, Action.DELETE]),
}
_OF_BUCKETS_WITH_KEY = {**_OF_BUCKETS, AUTHENTICATED_READ: frozenset([Action.LIST])}


def opened_by_bucket(acl: str, *, has_key: bool) -> frozenset[Action]:
    """Return the actions on all blobs of a bucket that its list allows everybody, or any valid key (`has_key`).

    To read an object is not one of them: only the object's own list allows that.
    """
    return (_OF_BUCKETS_WITH_KEY if has_key else _OF_BUCKETS).get(acl, _NOTHING)


def opens_object(acl: str, *, has_key: bool) -> bool:
    """Return whether the list of an object lets everybody, or any valid key (`has_key`), read it.

    It never lets anybody replace or delete the object, because that is a right on the bucket.
    """
    return acl in (PUBLIC_READ, PUBLIC_READ_WRITE) or (has_key and acl == AUTHENTICATED_READ)
