"""Features that a server may lack, and the report that an adapter gives of them."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MissingFeature:
    """A feature that a server lacks, and a sentence for operators about what Drivebay does instead."""

    name: str
    degradation: str


FeatureReport = Callable[[MissingFeature], None]
"""Called when an adapter learns that its server lacks a feature. It returns at once, and never fails."""


def unreported(_: MissingFeature) -> None:
    """Report nothing."""
