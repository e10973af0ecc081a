"""Features that the servers of the storages lack, gathered and logged."""

from collections.abc import Iterable

import structlog

from application.ports.features import MissingFeature

LOG = structlog.get_logger()
BackendFeature = tuple[str, MissingFeature]


class MissingFeatures:
    """Missing features by backend. Each is logged at its first report, unless it is `known`."""

    def __init__(self, known: Iterable[BackendFeature] = (), *, logged: bool = True) -> None:
        self._logged = logged
        self.found = list(known)

    def report(self, backend: str, feature: MissingFeature) -> None:
        """Add a missing feature that an adapter reports."""
        if (backend, feature) not in self.found:
            self.found.append((backend, feature))
            if self._logged:
                log(backend, feature)

    def of(self, backend: str) -> list[MissingFeature]:
        """Return the features that one backend lacks, as far as is known."""
        return [feature for name, feature in self.found if name == backend]


def log(backend: str, feature: MissingFeature) -> None:
    """Log that the server of a storage lacks a feature."""
    LOG.warning("the server lacks a feature", storage=backend, feature=feature.name, degradation=feature.degradation)
