"""The lines that `make bench` prints, and whether all bounds were kept."""

from tests.benchmarks.results import Figure


class Figures:
    """`broken` counts the bounds that were not kept. `recorded` are the figures that go into the file of results."""

    def __init__(self) -> None:
        self.broken = 0
        self.recorded: list[Figure] = []

    def record(self, figure: Figure, bound: float | None = None) -> None:
        """Print a figure and its goal, and keep both. A missed goal is only reported, a bound must be kept."""
        what = (
            f"{figure.work}: {number(figure.value)} {figure.unit}, {figure.reference} {number(figure.reference_value)}"
        )
        if figure.goal is not None:
            what += f" (goal: at {'most' if figure.at_most else 'least'} {figure.goal})"
        (self.at_most if figure.at_most else self.at_least)(f"{what}, ratio", figure.ratio, bound)
        self.recorded.append(figure)

    def at_least(self, what: str, ratio: float, bound: float | None = None) -> None:
        """Print a speed as a ratio to a reference. Without a bound, it is only reported."""
        self._print(what, f"{ratio:.2f}", f"at least {bound}", "TOO SLOW", bound is None or ratio >= bound, bound)

    def at_most(self, what: str, ratio: float, bound: float | None) -> None:
        """Print a time as a ratio to a reference. Without a bound, it is only reported."""
        self._print(what, f"{ratio:.2f}", f"at most {bound}", "TOO SLOW", bound is None or ratio <= bound, bound)

    def mebibytes(self, what: str, taken: float, bound: float) -> None:
        """Print an amount of memory."""
        self._print(what, f"{taken:.0f} MiB", f"at most {bound:.0f}", "TOO MUCH", taken <= bound, bound)

    def megabytes(self, what: str, taken: float, bound: float) -> None:
        """Print a size in millions of bytes."""
        self._print(what, f"{taken:.0f} MB", f"at most {bound:.0f}", "TOO MUCH", taken <= bound, bound)

    def seconds(self, what: str, taken: float, bound: float) -> None:
        """Print a duration."""
        self._print(what, f"{taken:.2f} s", f"at most {bound}", "TOO SLOW", taken <= bound, bound)

    def _print(self, what: str, value: str, wanted: str, problem: str, kept: bool, bound: float | None) -> None:
        verdict = "" if bound is None else f" ({wanted}): {'ok' if kept else problem}"
        print(f"{what}: {value}{verdict}", flush=True)
        self.broken += not kept


def number(value: float) -> str:
    """Write a number for people: `19,600`, `42`, `3.14`."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"
