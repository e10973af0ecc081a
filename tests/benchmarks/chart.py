"""The results as a chart: bars for the ratios, on a logarithmic scale, with marks for the goals."""

from collections.abc import Callable
from html import escape
from math import ceil, floor, log10

from tests.benchmarks.results import Figure, Results

WIDTH, LEFT, ROW, TOP = 960, 470, 26, 44
# The chart has its own background, so that it can be read on any page, whatever theme this has.
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 11px; fill: #59636e }
  .page { fill: #ffffff } .fast { fill: #1a7f37 } .slow { fill: #9a6700 }
  .line { stroke: #d1d9e0 } .one { stroke: #59636e } .goal { stroke: #8250df; stroke-width: 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .small { fill: #9198a1 }
    .page { fill: #0d1117 } .fast { fill: #3fb950 } .slow { fill: #d29922 }
    .line { stroke: #3d444d } .one { stroke: #9198a1 } .goal { stroke: #ab7df8 }
  }
"""


def chart(results: Results) -> str:
    """Draw the speeds as SVG. Latencies, of which less is better, are only in the table."""
    figures = [each for each in results.figures if not each.at_most]
    ratios = [1.0, *(each.ratio for each in figures), *(each.goal for each in figures if each.goal)]
    low, high = floor(log10(min(ratios))), ceil(log10(max(ratios)))

    def x(ratio: float) -> float:
        return round(LEFT + (log10(ratio) - low) / (high - low or 1) * (WIDTH - LEFT - 60), 1)

    bottom = TOP + ROW * len(figures)
    lines = [_scale(x(10.0**power), 10.0**power, bottom) for power in range(low, high + 1)]
    bars = [_bar(each, x, TOP + ROW * number) for number, each in enumerate(figures)]
    title = f"Speed as a ratio to the reference, {results.machine}, {results.date}. Violet: the goal."
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 16}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            '<rect class="page" width="100%" height="100%" rx="6"/>',
            f'<text x="12" y="20">{escape(title)}</text>',
            *lines,
            *bars,
            "</svg>\n",
        ]
    )


def _scale(x: float, ratio: float, bottom: int) -> str:
    line = f'<line class="{"one" if ratio == 1 else "line"}" x1="{x}" x2="{x}" y1="{TOP - 4}" y2="{bottom}"/>'
    return f'{line}<text class="small" x="{x}" y="{TOP - 8}" text-anchor="middle">{ratio:g}</text>'


def _bar(figure: Figure, x: Callable[[float], float], y: int) -> str:
    start, end = sorted((x(1), x(figure.ratio)))
    kind = "fast" if figure.ratio >= (figure.goal or 1) else "slow"
    label = f"{figure.work}, against {figure.reference}"
    parts = [
        f'<text class="small" x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{escape(label)}</text>',
        f'<rect class="{kind}" x="{start}" y="{y + 5}" width="{max(end - start, 1):.1f}" height="{ROW - 10}" rx="2"/>',
        f'<text class="small" x="{end + 6}" y="{y + 17}">{figure.ratio:.2f}</text>',
    ]
    if figure.goal:
        parts.append(
            f'<line class="goal" x1="{x(figure.goal)}" x2="{x(figure.goal)}" y1="{y + 3}" y2="{y + ROW - 3}"/>'
        )
    return "".join(parts)
