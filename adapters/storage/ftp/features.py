"""Features of one FTP server."""

from dataclasses import dataclass

from adapters.storage.ftp.config import Passive


@dataclass(slots=True)
class FtpFeatures:
    """The known features of a server. Shared by all connections to it."""

    passive: tuple[Passive, ...]
    """The commands for a data connection, the one that worked last first."""
    proven: Passive | None = None
    """The one that worked the last time, unless it has failed since."""
    size: bool = True
    """SIZE. Without it, MLST returns the size."""
    nlst: bool = True
    """NLST. Without it, MLSD returns the names."""
    rest: bool = True
    """REST. Without it, the bytes before a range are read and skipped."""
    appends: bool = True
    """APPE. Without it, an upload is one transfer."""

    def passive_worked(self, command: Passive) -> None:
        others = tuple(other for other in self.passive if other != command)
        self.passive, self.proven = (command, *others), command

    def passive_failed(self, command: Passive) -> None:
        if self.proven == command:
            self.proven = None
