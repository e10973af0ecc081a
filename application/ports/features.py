"""Features that a server may lack, and their report by an adapter."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MissingFeature:
    """A feature that a server lacks, and a sentence for operators about its replacement."""

    name: str
    degradation: str


FeatureReport = Callable[[MissingFeature], None]
"""Called when an adapter learns that its server lacks a feature. It returns at once, and never fails."""


def unreported(_: MissingFeature) -> None:
    """Report nothing."""
