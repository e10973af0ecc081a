"""The lines that `make bench` prints, and whether all bounds were kept."""


class Figures:
    """`broken` counts the bounds that were not kept."""

    def __init__(self) -> None:
        self.broken = 0

    def at_least(self, what: str, ratio: float, bound: float | None = None) -> None:
        """Print how fast something is beside something else. Without a bound it is only told."""
        self._print(what, f"{ratio:.2f}", f"at least {bound}", "TOO SLOW", bound is None or ratio >= bound, bound)

    def at_most(self, what: str, ratio: float, bound: float | None) -> None:
        """Print how long something takes beside something else. Without a bound it is only told."""
        self._print(what, f"{ratio:.2f}", f"at most {bound}", "TOO SLOW", bound is None or ratio <= bound, bound)

    def mebibytes(self, what: str, taken: float, bound: float) -> None:
        """Print how much memory something takes."""
        self._print(what, f"{taken:.0f} MiB", f"at most {bound:.0f}", "TOO MUCH", taken <= bound, bound)

    def megabytes(self, what: str, taken: float, bound: float) -> None:
        """Print how large something is, in millions of bytes."""
        self._print(what, f"{taken:.0f} MB", f"at most {bound:.0f}", "TOO MUCH", taken <= bound, bound)

    def seconds(self, what: str, taken: float, bound: float) -> None:
        """Print how long something takes."""
        self._print(what, f"{taken:.2f} s", f"at most {bound}", "TOO SLOW", taken <= bound, bound)

    def _print(self, what: str, value: str, wanted: str, fault: str, kept: bool, bound: float | None) -> None:
        verdict = "" if bound is None else f" ({wanted}): {'ok' if kept else fault}"
        print(f"{what}: {value}{verdict}", flush=True)
        self.broken += not kept
