"""The output of `drivebay verify`: defects as they are found, a progress bar, and a summary at the end."""

import sys
import time
from typing import Any, TextIO

import click
import msgspec

from application.verification.report import Counts, Defect, Finding, VerificationListener, Verified
from domain.blob import ObjectKey
from entrypoints.cli.wording import counted

TO_DO = {
    Defect.MISSING: "Restore it from a backup, or store the blob again; --repair --drop-missing removes the row.",
    Defect.DAMAGED: "Restore it from a backup, or store the blob again.",
    Defect.ORPHAN: "--repair removes it; see --older-than.",
    Defect.UNREADABLE: "Mend the storage, and verify again.",
}
WIDTH = 30
REDRAW = 0.1  # seconds


class Bar:
    """A progress bar on a terminal, and nothing elsewhere. The total is unknown, but the keys are random."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal if terminal.isatty() else None
        self._step = ""
        self._seen = 0
        self._drawn = 0.0

    def reached(self, step: str, key: ObjectKey) -> None:
        self._seen = self._seen + 1 if step == self._step else 1
        self._step = step
        if self._terminal is not None and time.monotonic() - self._drawn > REDRAW:
            self._draw(int(key.value[:8], 16) / 16**8)

    def clear(self) -> None:
        """Clear the bar, to print a line of text."""
        if self._terminal is not None and self._drawn:
            self._write("\r\x1b[K")
            self._drawn = 0.0

    def _draw(self, done: float) -> None:
        full = "#" * int(done * WIDTH)
        self._write(f"\r\x1b[K{self._step} [{full:-<{WIDTH}}] {done:.0%} {self._seen:,}")
        self._drawn = time.monotonic()

    def _write(self, text: str) -> None:
        assert self._terminal is not None
        self._terminal.write(text)
        self._terminal.flush()


class TextReport(VerificationListener):
    """For people: a line for each defect, and some for each storage."""

    def __init__(self) -> None:
        self._bar = Bar(sys.stderr)

    def found(self, finding: Finding) -> None:
        self._bar.clear()
        _echo(line_of(finding))

    def reached(self, step: str, key: ObjectKey) -> None:
        self._bar.reached(step, key)

    def end(self, verified: Verified) -> None:
        self._bar.clear()
        for tally in verified.counts:
            _echo("\n".join(lines_of(tally)))
        if verified.stopped:
            _echo(f"It was broken off: {verified.stopped}")
        if verified.not_recorded:
            _echo(f"It could not be recorded for the status: {verified.not_recorded}")
        summary = "Nothing is wrong" if not verified.wrong else counted(verified.wrong, "fault")
        _echo(f"{summary}{'' if verified.complete else ', as far as it could be verified'}.")


class JsonReport(VerificationListener):
    """JSON Lines: an object for each defect, then one with the summary."""

    def __init__(self) -> None:
        self._bar = Bar(sys.stderr)

    def found(self, finding: Finding) -> None:
        self._bar.clear()
        _echo(msgspec.json.encode(object_of(finding)))

    def reached(self, step: str, key: ObjectKey) -> None:
        self._bar.reached(step, key)

    def end(self, verified: Verified) -> None:
        self._bar.clear()
        summary = {
            "wrong": verified.wrong,
            "complete": verified.complete,
            "stopped": verified.stopped or None,
            "not_recorded": verified.not_recorded or None,
            "storages": [summary_of(tally) for tally in verified.counts],
        }
        _echo(msgspec.json.encode({"summary": summary}))


def _echo(line: str | bytes) -> None:
    # Always in UTF-8: an id may have any letters.
    click.echo(line.encode() if isinstance(line, str) else line)


def line_of(finding: Finding) -> str:
    location = finding.location
    where = f"{location.backend} {location.key}"
    subject = where if finding.blob is None else f"{finding.blob.id.value} ({where})"
    return f"{finding.defect.value}: {subject}: {finding.detail} {_outcome(finding)}"


def _outcome(finding: Finding) -> str:
    if not finding.repaired:
        return TO_DO[finding.defect]
    if finding.blob is None:
        return "It is removed."
    digest = finding.blob.content.digest
    sha256 = f" with the SHA-256 {digest.hex}" if digest else ""
    return f"The row is removed: of {finding.blob.size:,} bytes{sha256}."


def lines_of(tally: Counts) -> list[str]:
    seen = f"{counted(tally.blobs, 'blob')} of {counted(tally.bytes, 'byte')}"
    objects = counted(tally.objects, "object")
    lines = [f"{tally.backend}: {seen}, {objects}, {tally.uploads:,} in progress, {tally.garbage:,} to be deleted"]
    if tally.found:
        lines.append(f"  {', '.join(_count(tally, defect) for defect in Defect if tally.found[defect])}")
    if tally.not_repaired:
        lines.append(f"  not repaired: {tally.not_repaired}")
    if tally.unverified:
        lines.append(f"  could not be verified: {tally.unverified}")
    return lines


def _count(tally: Counts, defect: Defect) -> str:
    removed = f" ({tally.repaired[defect]:,} removed)" if tally.repaired[defect] else ""
    return f"{tally.found[defect]:,} {defect.value}{removed}"


def object_of(finding: Finding) -> dict[str, Any]:
    """`size` and `modified_at` describe the object if it is an orphan, and the blob otherwise."""
    line: dict[str, Any] = {
        "fault": finding.defect.value,
        "repaired": finding.repaired,
        "storage": finding.location.backend,
        "key": finding.location.key.value,
        "detail": finding.detail,
    }
    if (blob := finding.blob) is not None:
        digest = blob.content.digest
        sha256 = {"sha256": digest.hex} if digest else {}
        line |= {"id": blob.id.value, "size": blob.size, **sha256, "created_at": blob.created_at}
    elif (stored := finding.stored) is not None:
        line |= {"size": stored.size, "modified_at": stored.modified_at}
    return line


def summary_of(tally: Counts) -> dict[str, Any]:
    return {
        "storage": tally.backend,
        "blobs": tally.blobs,
        "bytes": tally.bytes,
        "objects": tally.objects,
        "uploads": tally.uploads,
        "garbage": tally.garbage,
        "found": {defect.value: tally.found[defect] for defect in Defect},
        "repaired": {defect.value: tally.repaired[defect] for defect in (Defect.MISSING, Defect.ORPHAN)},
        "not_repaired": tally.not_repaired or None,
        "unverified": tally.unverified or None,
    }
