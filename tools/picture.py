"""Draw what `python3 tools/dev.py bench` printed: `python3 tools/picture.py < printed > picture.svg`.

A bar for each peer says how many times as much as ours it takes, on a logarithmic scale.
"""

import math
import re
import sys
from typing import NamedTuple
from xml.sax.saxutils import escape

# A row is what, who and a figure, in columns; the first of a group names what, and is ours.
_ROW = re.compile(r"(?P<what>.{44}) (?P<who>.+?) +(?P<figure>[\d.]+(?: \w+)?)  (?P<ratio>[\d.]+) times ours$")
_FIRST = re.compile(r"(?P<what>\S.{43}) ")
WIDTH, LEFT, RIGHT, LINE, TOP = 860, 300, 250, 20, 46
MOST = 1000
TITLE = "How many times as much as ours each peer takes"
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.what { text-anchor: end } .bar { fill: #0969da } .grid { stroke: #d0d7de } .title { font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .bar { fill: #4493f8 } .grid { stroke: #3d444d }
}
"""


class Bar(NamedTuple):
    """One peer: what was measured, who it is, and how many times ours it takes."""

    what: str
    peer: str
    ratio: float


def bars(lines: list[str]) -> list[Bar]:
    """The peers in what was printed."""
    found, what = [], ""
    for line in lines:
        first = _FIRST.match(line)
        if first and not line.startswith("#"):
            what = first["what"].strip()
        row = _ROW.match(line.rstrip())
        if row:
            found.append(Bar(what, row["who"], float(row["ratio"])))
    return found


def drawn(found: list[Bar]) -> str:
    """The picture as SVG, readable on light and on dark."""
    height = TOP + LINE * len(found) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{TITLE}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="16">{TITLE}</text>',
    ]
    for tick in (1, 3, 10, 30, 100, 300, MOST):
        parts.append(
            f'<line class="grid" x1="{_x(tick):.0f}" x2="{_x(tick):.0f}" y1="{TOP - 6}" y2="{height - 8}"/>'
        )
        parts.append(f'<text x="{_x(tick) - 4:.0f}" y="{TOP - 12}">{tick}</text>')
    before = ""
    for place, bar in enumerate(found):
        y = TOP + LINE * place
        if bar.what != before:
            parts.append(f'<text class="what" x="{LEFT - 8}" y="{y + 12}">{escape(bar.what)}</text>')
        before = bar.what
        end = max(_x(bar.ratio), LEFT + 1)
        parts.append(
            f'<rect class="bar" x="{LEFT}" y="{y + 2}" width="{end - LEFT:.0f}" height="{LINE - 7}" rx="2"/>'
        )
        label = f"{bar.ratio:g}  {bar.peer}"
        parts.append(f'<text x="{end + 6:.0f}" y="{y + 12}">{escape(label)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _x(ratio: float) -> float:
    """Where a ratio is; what is less than ours has no bar."""
    span = WIDTH - LEFT - RIGHT
    return LEFT + span * min(max(math.log10(max(ratio, 1.0)), 0.0) / math.log10(MOST), 1.0)


if __name__ == "__main__":
    sys.stdout.write(drawn(bars(sys.stdin.read().splitlines())))
