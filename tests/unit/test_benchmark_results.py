"""The results of `make bench`: figures, table, chart, comparison."""

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from tests.benchmarks import publish, results
from tests.benchmarks.chart import chart
from tests.benchmarks.compare import compare
from tests.benchmarks.figures import Figures
from tests.benchmarks.peers.load import LoadError, parse_curl, parse_wrk
from tests.benchmarks.peers.rows import Row, record
from tests.benchmarks.results import Figure, Results
from tests.benchmarks.table import END, START, inserted, table

SVG = "{http://www.w3.org/2000/svg}"
WRK = 'Running 1s test\n{{"requests":{},"seconds":2.0,"bytes":{},"median":1.5,"p99":9.0,"failed":{}}}\n'


def figure(*ratios: float, work: str = "GET", goal: float | None = None, at_most: bool = False) -> Figure:
    return Figure.of_rounds(work, "requests/s", ratios, "nginx", [1.0] * len(ratios), goal, at_most)


def a_run(*figures: Figure) -> Results:
    return Results(
        date="2026-01-02", machine="2-core x86_64", commit="abc", command="make bench", load=0.1, figures=[*figures]
    )


def parsed(drawing: str) -> ElementTree.Element:
    return ElementTree.fromstring(drawing)  # noqa: S314 - it is our own


def test_the_table_says_where_and_how_it_was_measured() -> None:
    head = table(msgspec.structs.replace(a_run(), python="3.11.2")).splitlines()[0]
    assert head == (
        "Measured on 2026-01-02 on a 2-core x86_64 machine at abc, with Python 3.11.2, by this command"
        " (load average before it: 0.1):"
    )


def test_a_figure_is_the_ratio_of_the_medians() -> None:
    found = Figure.of_rounds("GET", "requests/s", [10, 30, 20], "nginx", [100, 50, 40])
    assert (found.value, found.reference_value, found.ratio) == (20, 50, 0.4)
    assert (found.lowest, found.highest) == (0.1, 0.6)


def test_a_missed_goal_is_reported_and_a_missed_bound_fails(capsys: pytest.CaptureFixture[str]) -> None:
    figures = Figures()
    figures.record(figure(0.5, goal=2))
    figures.record(figure(5, goal=3, at_most=True))
    assert figures.broken == 0
    figures.record(figure(0.5), bound=0.6)
    figures.record(figure(5, at_most=True), bound=4)
    assert figures.broken == 2
    assert len(figures.recorded) == 4
    assert capsys.readouterr().out.splitlines() == [
        "GET: 0.50 requests/s, nginx 1.00 (goal: at least 2), ratio: 0.50",
        "GET: 5.00 requests/s, nginx 1.00 (goal: at most 3), ratio: 5.00",
        "GET: 0.50 requests/s, nginx 1.00, ratio: 0.50 (at least 0.6): TOO SLOW",
        "GET: 5.00 requests/s, nginx 1.00, ratio: 5.00 (at most 4): TOO SLOW",
    ]


def test_rows_name_what_is_compared_in_each_round() -> None:
    figures = Figures()
    rounds = [{"new": 3.0, "old": 1.0}, {"new": 4.0, "old": 2.0}, {"new": 5.0, "old": 2.0}]
    record([Row("POST", "requests/s", "new", "the old version", "old", goal=12)], rounds, figures)
    [found] = figures.recorded
    assert (found.ratio, found.lowest, found.highest, found.reference) == (2, 2, 3, "the old version")


def test_wrk_reports_what_was_served() -> None:
    assert parse_wrk(WRK.format(100, 110_000, 0), least=1024).rate == 50


@pytest.mark.parametrize(
    ("requests", "size", "failed"), [(0, 0, 1), (100, 110_000, 1), (100, 100_000, 0)], ids=["none", "failed", "short"]
)
def test_wrk_fails_if_something_else_was_served(requests: int, size: int, failed: int) -> None:
    with pytest.raises(LoadError):
        parse_wrk(WRK.format(requests, size, failed), least=1024)


def test_curl_reports_the_seconds() -> None:
    assert parse_curl("201 1024 0.5", least=1024) == 0.5


@pytest.mark.parametrize("output", ["404 1024 0.5", "302 1024 0.5", "200 1023 0.5"])
def test_curl_fails_if_something_else_was_moved(output: str) -> None:
    with pytest.raises(LoadError):
        parse_curl(output, least=1024)


def test_results_can_be_read_again(tmp_path: Path) -> None:
    results.write(a_run(figure(0.123456, goal=2)), tmp_path / "bench.json")
    [found] = results.read(tmp_path / "bench.json").figures
    assert (found.ratio, found.goal) == (0.1235, 2)
    assert '"ratio": 0.1235' in (tmp_path / "bench.json").read_text()


def test_the_table_has_a_line_for_each_figure() -> None:
    text = table(a_run(figure(19_600, goal=0.6), figure(5, work="GET, p99", goal=3, at_most=True), figure(1)))
    assert "2026-01-02" in text
    assert "2-core x86_64" in text
    assert "make bench" in text
    assert text.splitlines()[-3:] == [
        "| GET | 19,600 requests/s | nginx | 1.00 requests/s | 19600.00 | 0.6 |",
        "| GET, p99 | 5.00 requests/s | nginx | 1.00 requests/s | 5.00 | at most 3 |",
        "| GET | 1.00 requests/s | nginx | 1.00 requests/s | 1.00 |  |",
    ]


def test_the_table_replaces_only_what_is_between_the_marks() -> None:
    page = f"before\n{START}\nold\n{END}\nafter\n"
    assert inserted(page, "new") == f"before\n{START}\n\nnew\n\n{END}\nafter\n"
    with pytest.raises(ValueError, match="lacks"):
        inserted(f"before\n{START}\n", "new")


def test_the_chart_has_a_bar_for_each_speed_and_a_mark_for_each_goal() -> None:
    drawn = parsed(chart(a_run(figure(0.2, goal=0.6), figure(4, work="<PUT> & co"), figure(5, goal=3, at_most=True))))
    assert [bar.get("class") for bar in drawn.iter(f"{SVG}rect")] == ["page", "slow", "fast"]
    assert [line.get("class") for line in drawn.iter(f"{SVG}line")].count("goal") == 1
    assert "<PUT> & co, against nginx" in {text.text for text in drawn.iter(f"{SVG}text")}
    assert "prefers-color-scheme: dark" in drawn.findtext(f"{SVG}style", "")


def test_bars_reach_from_the_reference_to_the_ratio() -> None:
    drawn = parsed(chart(a_run(figure(0.1), figure(10))))
    _, slow, fast = drawn.iter(f"{SVG}rect")
    assert float(slow.get("x", 0)) + float(slow.get("width", 0)) == pytest.approx(float(fast.get("x", 0)))
    assert slow.get("width") == fast.get("width")


def test_a_comparison_considers_the_spread() -> None:
    before = a_run(*(figure(1, 2, 3, work=work) for work in ("same", "better", "worse", "gone")))
    after = a_run(
        figure(2, 3, 4, work="same"), figure(4, 5, work="better"), figure(0.5, work="worse"), figure(1, work="new")
    )
    assert [*compare(before, after)][2:] == [
        "same / nginx: 2.00 -> 3.00, +50%: within the spread of the rounds",
        "better / nginx: 2.00 -> 4.50, +125%: better",
        "worse / nginx: 2.00 -> 0.50, -75%: WORSE",
        "gone / nginx: 2.00 (only before)",
        "new / nginx: 1.00 (only after)",
    ]


def test_of_latencies_less_is_better() -> None:
    slow, fast = figure(5, at_most=True), figure(2, at_most=True)
    assert [*compare(a_run(slow), a_run(fast))][2].endswith("better")
    assert [*compare(a_run(fast), a_run(slow))][2].endswith("WORSE")


def test_the_readme_and_the_chart_are_those_of_the_published_results() -> None:
    published = results.read(results.PUBLISHED)
    assert publish.CHART.read_text() == chart(published)
    page = publish.README.read_text()
    assert inserted(page, table(published)) == page
