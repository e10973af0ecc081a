"""Quotas: the bytes of the current blobs that a key has stored, counted in the transactions that publish them."""

from application.ports.metadata import UnitOfWork
from domain.errors import QuotaExceeded


async def charge(work: UnitOfWork, owner: str, size: int) -> None:
    """Count a version that was published in this unit. Raises QUOTA_EXCEEDED. Without an owner nothing is counted.

    Call it after the version that was replaced has gone to the trash, which gives its bytes back.
    """
    if owner and not await work.keys.charge(owner, size):
        raise QuotaExceeded


async def check_quota(work: UnitOfWork, owner: str, size: int) -> None:
    """Raise QUOTA_EXCEEDED if a blob of this size could not be stored even as a new one. Only `charge` decides.

    An early refusal saves the sender its bytes. What a replaced version would give back is not known yet, so a key that
    uses all of its quota can still replace its blobs.
    """
    key = await work.keys.find(owner)
    if key is None or key.limits.quota_bytes is None or size > key.limits.quota_bytes:
        raise QuotaExceeded
