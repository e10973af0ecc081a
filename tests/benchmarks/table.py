"""The results as a table in Markdown, between two marks of the README."""

from tests.benchmarks.figures import number
from tests.benchmarks.results import Figure, Results

START = "<!-- Written by make bench, from tests/benchmarks/results/bench.json -->"
END = "<!-- End of the results -->"
CHART = "![Chart: speed as a ratio to each reference](tests/benchmarks/results/bench.svg)"


def table(results: Results) -> str:
    """Write where and how it was measured, the chart, and a line for each figure."""
    return "\n".join(
        [
            f"Measured on {results.date} on a {results.machine} machine at {results.commit}, with Python "
            f"{results.python or 'of an unknown version'}, by this command (load average before it: {results.load}):",
            "",
            f"```bash\n{results.command}\n```",
            "",
            CHART,
            "",
            "| work | Drivebay | reference | its figure | ratio | goal |",
            "|---|--:|---|--:|--:|--:|",
            *map(_line, results.figures),
        ]
    )


def inserted(page: str, text: str) -> str:
    """Replace what is between the marks. Raises ValueError if a mark is missing."""
    before, mark, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"The page lacks the lines {START!r} and {END!r}.")
    return f"{before}{START}\n\n{text}\n\n{END}{after}"


def _line(figure: Figure) -> str:
    goal = "" if figure.goal is None else f"{'at most ' if figure.at_most else ''}{figure.goal:g}"
    value, other = (f"{number(each)} {figure.unit}" for each in (figure.value, figure.reference_value))
    return f"| {figure.work} | {value} | {figure.reference} | {other} | {figure.ratio:.2f} | {goal} |"
