"""The results as a chart: bars for the ratios, on a logarithmic scale, with marks for the goals."""

from collections.abc import Callable
from html import escape
from math import ceil, floor, log10

from tests.benchmarks.results import Figure, Results

WIDTH, LEFT, RIGHT, TOP, ROW = 960, 440, 900, 44, 26
# The chart has its own background, so that it can be read on any page, whatever theme this has.
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 } .small { font-size: 11px; fill: #59636e }
  .page { fill: #fff } .fast { fill: #2da44e } .slow { fill: #bf8700 } .goal { stroke: #a371f7; stroke-width: 3 }
  .line { stroke: #d1d9e0 } .one { stroke: #59636e }
  @media (prefers-color-scheme: dark) {
    text, .small { fill: #c9d1d9 } .page { fill: #0d1117 } .line { stroke: #3d444d } .one { stroke: #9198a1 }
  }
"""


def chart(results: Results) -> str:
    """Draw the speeds as SVG. Latencies, of which less is better, are only in the table."""
    figures = [each for each in results.figures if not each.at_most]
    shown = [log10(ratio) for each in figures for ratio in (1, each.ratio, each.goal) if ratio]
    low, high = min(shown) - 0.15, max(shown) + 0.15

    def x(ratio: float) -> float:
        return round(LEFT + (log10(ratio) - low) / (high - low) * (RIGHT - LEFT), 1)

    bottom = TOP + ROW * len(figures)
    title = (
        f"Speed relative to each reference, {results.machine}, {results.date}. Violet: goal. Green: reached, or faster."
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 12}" role="img">',
            f"<title>{escape(title)}</title><style>{STYLE}</style>",
            '<rect class="page" width="100%" height="100%" rx="6"/>',
            f'<text x="12" y="20">{escape(title)}</text>',
            *(_scale(x(10.0**power), 10.0**power, bottom) for power in range(ceil(low), floor(high) + 1)),
            *(_bar(each, x, TOP + ROW * number) for number, each in enumerate(figures)),
            "</svg>\n",
        ]
    )


def _scale(x: float, ratio: float, bottom: int) -> str:
    line = f'<line class="{"one" if ratio == 1 else "line"}" x1="{x}" x2="{x}" y1="{TOP - 4}" y2="{bottom}"/>'
    return f'{line}<text class="small" x="{x}" y="{TOP - 8}" text-anchor="middle">{ratio:g}</text>'


def _bar(figure: Figure, x: Callable[[float], float], y: int) -> str:
    start, end = sorted((x(1), x(figure.ratio)))
    kind = "fast" if figure.ratio >= (figure.goal or 1) else "slow"
    label, width, goal = escape(f"{figure.work}, against {figure.reference}"), max(end - start, 1), x(figure.goal or 1)
    mark = f'<line class="goal" x1="{goal}" x2="{goal}" y1="{y + 3}" y2="{y + ROW - 3}"/>' if figure.goal else ""
    return (
        f'<text class="small" x="{LEFT - 10}" y="{y + 17}" text-anchor="end">{label}</text>'
        f'<rect class="{kind}" x="{start}" y="{y + 5}" width="{width:.1f}" height="{ROW - 10}" rx="2"/>'
        f'<text class="small" x="{WIDTH - 12}" y="{y + 17}" text-anchor="end">{figure.ratio:.2f}</text>{mark}'
    )
