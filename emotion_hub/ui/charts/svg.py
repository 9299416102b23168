"""SVG charts: axes, lines, and points with intervals.

A chart is 360 units wide and shown at 280 to 420 pixels, so its text stays readable on a phone. Colours are CSS
variables: `--eh-own` is that of the network's side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Plot", "figure", "line", "marker", "whisker"]


@dataclass(frozen=True)
class Plot:
    """Linear scales from data to the chart's units, with the margins around the plotted area."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 360
    height: int = 250
    left: int = 60
    right: int = 12
    top: int = 12
    bottom: int = 44

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The position of a data point, in units from the top left corner."""
        return self.at_x(x), self.at_y(y)

    def at_x(self, x: float) -> float:
        """The horizontal position of a value."""
        low, high = self.x
        return round(self.left + (x - low) / (high - low) * (self.width - self.left - self.right), 2)

    def at_y(self, y: float) -> float:
        """The vertical position of a value; larger values are higher up."""
        low, high = self.y
        return round(self.height - self.bottom - (y - low) / (high - low) * (self.height - self.top - self.bottom), 2)

    def axes(
        self,
        x_ticks: Sequence[float],
        y_ticks: Sequence[float],
        *,
        x_title: str,
        y_title: str,
        x_text: Callable[[float], str],
        y_text: Callable[[float], str],
    ) -> str:
        """Grid lines with their values, the two axis lines and the axis titles. Titles are text."""
        left, right = self.left, self.width - self.right
        top, bottom = self.top, self.height - self.bottom
        parts = []
        for tick in y_ticks:
            y = self.at_y(tick)
            parts.append(f'<line class="eh-grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{left - 6}" y="{y + 4:.2f}" text-anchor="end">{escape(y_text(tick))}</text>')
        for tick in x_ticks:
            x = self.at_x(tick)
            parts.append(f'<line class="eh-tick" x1="{x}" x2="{x}" y1="{bottom}" y2="{bottom + 4}"/>')
            parts.append(f'<text x="{x}" y="{bottom + 17}" text-anchor="middle">{escape(x_text(tick))}</text>')
        parts.append(f'<path class="eh-axis" d="M{left} {top}V{bottom}H{right}"/>')
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        parts.append(f'<text x="{middle_x}" y="{self.height - 6}" text-anchor="middle">{escape(x_title)}</text>')
        if y_title:
            parts.append(
                f'<text x="12" y="{middle_y}" text-anchor="middle" transform="rotate(-90 12 {middle_y})">'
                f"{escape(y_title)}</text>"
            )
        return "".join(parts)


def figure(chart_id: str, plot: Plot, body: str, *, title: str, description: str, caption: str = "") -> str:
    """A chart with its title and a description for those who do not see it; `caption` is HTML shown below it."""
    names = f"{chart_id}-title {chart_id}-description"
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return (
        f'<figure class="eh-chart"><svg viewBox="0 0 {plot.width} {plot.height}" role="img" aria-labelledby="{names}">'
        f'<title id="{chart_id}-title">{escape(title)}</title>'
        f'<desc id="{chart_id}-description">{escape(description)}</desc>{body}</svg>{below}</figure>'
    )


def line(positions: Sequence[tuple[float, float]], css: str = "eh-line") -> str:
    """A line through positions in the chart's units."""
    return f'<polyline class="{css}" points="{" ".join(f"{x},{y}" for x, y in positions)}"/>'


def marker(position: tuple[float, float], css: str = "eh-point", radius: float = 4) -> str:
    """A dot at a position in the chart's units."""
    return f'<circle class="{css}" cx="{position[0]}" cy="{position[1]}" r="{radius}"/>'


def whisker(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A line from the lower to the upper limit of an interval, with a bar at each end."""
    (x1, y1), (x2, y2) = start, end
    across = (0, 4) if y1 == y2 else (4, 0)
    bars = "".join(f"M{x - across[0]} {y - across[1]}L{x + across[0]} {y + across[1]}" for x, y in (start, end))
    return f'<path class="eh-whisker" d="M{x1} {y1}L{x2} {y2}{bars}"/>'
