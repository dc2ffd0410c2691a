"""A dashboard as an SVG picture: our own drawing of what its queries find, laid out as Grafana would.

It is not Grafana's: lines, numbers and states are drawn plainly, and legends list what fits.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from html import escape
from typing import Any, Callable, Iterator, Sequence

from .dashboards import Panel, load, panels, resolve, substitute
from .prometheus import ask

WIDTH, ROW, GAP, HEAD = 1440, 30, 8, 64
COLUMN = WIDTH / 24
LEGEND_LINE, LEGEND_LINES = 15, 2
LETTER = 6.1  # mean width of a letter of the small font
PALETTE = ("#3b7dd8", "#e0752d", "#2f9e5b", "#c9307f", "#8254c8", "#b39b00", "#1aa3a3", "#d64545", "#7a6a58", "#5c7080")
COLOURS = {"green": "#2f9e5b", "red": "#d64545", "orange": "#e0752d", "blue": "#3b7dd8"}
POINTS = 120  # of each line
Point = tuple[float, float]  # time and value, or what stands for them in the picture


@dataclass(frozen=True)
class Series:
    """One line: its name, and (time, value) in ascending order."""

    name: str
    points: list[Point]


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    w: float
    h: float


class Source:
    """Answers the queries of dashboards over the last minutes of a Prometheus."""

    def __init__(self, address: str, minutes: float) -> None:
        self.address = address
        self.end = time.time()
        self.start = self.end - minutes * 60
        self.step = max(1.0, minutes * 60 / POINTS)

    def labels_of(self, selector: str) -> list[dict[str, str]]:
        return ask(self.address, "series", **{"match[]": selector, "start": str(self.start), "end": str(self.end)})

    def series(self, panel: Panel, values: dict[str, str]) -> list[Series]:
        found = []
        for query in panel.queries:
            expression = substitute(query.expression, values, f"{max(15, int(4 * self.step))}s")
            answer = ask(self.address, "query_range", query=expression, start=str(self.start), end=str(self.end), step=str(self.step))
            for one in answer["result"]:
                points = [(float(at), float(value)) for at, value in one["values"] if math.isfinite(float(value))]
                if points:
                    found.append(Series(legend(query.legend, one["metric"]), points))
        return sorted(found, key=lambda one: one.name)


def legend(pattern: str, labels: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match[1], ""), pattern).strip() or "value"


# Numbers

def shown(value: float, unit: str) -> str:
    """A number with its unit, as short as it can be."""
    if unit.startswith("suffix:"):
        return plain(value) + unit.removeprefix("suffix:")
    if unit == "percentunit":
        return f"{plain(value * 100)} %"
    if unit == "s":
        return duration(value)
    if unit == "bytes":
        return scaled(value, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
    if unit in ("ops", "reqps"):
        return plain(value) + (" ops/s" if unit == "ops" else " req/s")
    return plain(value)


def plain(value: float) -> str:
    if abs(value) >= 10000:
        return scaled(value, 1000, ("", "K", "M", "G", "T")).replace(" ", "")
    digits = 0 if abs(value - round(value)) < 0.0005 or abs(value) >= 1000 else 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:.{digits}f}"


def scaled(value: float, base: int, names: Sequence[str]) -> str:
    power = 0
    while abs(value) >= base and power + 1 < len(names):
        value, power = value / base, power + 1
    return f"{value:.3g} {names[power]}".strip()


def duration(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"), (0.001, "ms")):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {name}"
    return "0 s" if seconds == 0 else f"{seconds * 1e6:.3g} µs"


# Drawing

def text(x: float, y: float, words: str, size: int = 11, colour: str = "#5a6270", anchor: str = "start", weight: str = "normal") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def rectangle(box: Box, fill: str, stroke: str = "none", title: str = "") -> str:
    inside = f"<title>{escape(title)}</title>" if title else ""
    return (f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.w:.1f}" height="{box.h:.1f}" rx="2" fill="{fill}" '
            f'stroke="{stroke}">{inside}</rect>')


def draw_panel(panel: Panel, series: list[Series], source: Source) -> Iterator[str]:
    place = panel.raw["gridPos"]
    box = Box(place["x"] * COLUMN + GAP / 2, HEAD + place["y"] * ROW + GAP / 2, place["w"] * COLUMN - GAP, place["h"] * ROW - GAP)
    yield rectangle(box, "#ffffff", "#d8dce3", panel.raw["description"])
    yield text(box.x + 10, box.y + 20, panel.title, 13, "#1f2430", weight="bold")
    inner = Box(box.x + 10, box.y + 30, box.w - 20, box.h - 38)
    if not series:
        yield text(box.x + box.w / 2, box.y + box.h / 2, "no data", 13, anchor="middle")
        return
    draw: Callable[[Panel, list[Series], Box, Source], Iterator[str]] = {
        "stat": draw_number, "timeseries": draw_lines, "state-timeline": draw_states}[panel.kind]
    yield from draw(panel, series, inner, source)


def draw_number(panel: Panel, series: list[Series], box: Box, source: Source) -> Iterator[str]:
    value = series[0].points[-1][1]
    steps = panel.raw["fieldConfig"]["defaults"]["thresholds"]["steps"]
    colour = [one["color"] for one in steps if one["value"] is None or value >= one["value"]][-1]
    yield text(box.x + box.w / 2, box.y + box.h / 2 + 14, shown(value, panel.unit), 32, COLOURS[colour], "middle", "bold")


def stacked(series: list[Series]) -> list[Series]:
    """Each line upon those before it."""
    sums: dict[float, float] = {}
    out = []
    for one in series:
        for at, value in one.points:
            sums[at] = sums.get(at, 0) + value
        out.append(Series(one.name, [(at, sums[at]) for at, _ in one.points]))
    return out


def draw_lines(panel: Panel, series: list[Series], box: Box, source: Source) -> Iterator[str]:
    custom = panel.raw["fieldConfig"]["defaults"]["custom"]
    lines = stacked(series) if custom["stacking"]["mode"] == "normal" else series
    plot = Box(box.x + 62, box.y + 4, box.w - 66, box.h - 24 - LEGEND_LINE * LEGEND_LINES)
    top = ceiling(max(value for one in lines for _, value in one.points))
    scale = Scale(plot, top, custom.get("scaleDistribution", {}).get("type") == "symlog", source)
    yield from draw_axes(panel, scale)
    for number, one in reversed(list(enumerate(lines))):
        for points in unbroken(one.points, source.step):
            yield from draw_line(points, scale, PALETTE[number % len(PALETTE)], custom["fillOpacity"] > 0)
    yield from draw_legend([(one.name, PALETTE[number % len(PALETTE)]) for number, one in enumerate(series)], box)


def draw_line(points: list[Point], scale: "Scale", colour: str, filled: bool) -> Iterator[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(scale.at, points))
    if filled:
        first, last = (scale.at((at, 0)) for at in (points[0][0], points[-1][0]))
        yield f'<polygon points="{first[0]:.1f},{first[1]:.1f} {path} {last[0]:.1f},{last[1]:.1f}" fill="{light(colour)}"/>'
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


def unbroken(points: list[Point], step: float) -> Iterator[list[Point]]:
    """The stretches of a line between its gaps; a point alone stands for the step behind it."""
    stretch: list[Point] = []
    for point in [*points, (math.inf, 0.0)]:
        if stretch and point[0] - stretch[-1][0] > 1.5 * step:
            yield stretch if len(stretch) > 1 else [*stretch, (stretch[0][0] + step, stretch[0][1])]
            stretch = []
        stretch.append(point)


def light(colour: str) -> str:
    """The colour mixed with white, so that what lies behind does not shine through."""
    parts = [int(colour[at:at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - (255 - part) * 0.35):02x}" for part in parts)


@dataclass(frozen=True)
class Scale:
    """Where a point lies; on a logarithmic scale small numbers are seen beside large ones."""

    plot: Box
    top: float
    logarithmic: bool
    source: Source

    def at(self, point: Point) -> Point:
        share = (point[0] - self.source.start) / (self.source.end - self.source.start)
        return self.plot.x + self.plot.w * min(1.0, share), self.plot.y + self.plot.h * (1 - self._height(point[1]))

    def _height(self, value: float) -> float:
        value = max(0.0, value)
        return math.log10(1 + value) / math.log10(1 + self.top) if self.logarithmic else value / self.top

    def marks(self) -> list[float]:
        if not self.logarithmic:
            return [self.top * part / 4 for part in range(5)]
        return [0.0, *(10.0 ** power for power in range(math.floor(math.log10(max(1.0, self.top))) + 1))]


def ceiling(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    if value <= 0:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value * 0.999)


def draw_axes(panel: Panel, scale: Scale) -> Iterator[str]:
    plot = scale.plot
    for mark in scale.marks():
        _, y = scale.at((scale.source.start, mark))
        yield f'<line x1="{plot.x:.1f}" y1="{y:.1f}" x2="{plot.x + plot.w:.1f}" y2="{y:.1f}" stroke="#e6e9ee"/>'
        yield text(plot.x - 5, y + 4, shown(mark, panel.unit), anchor="end")
    yield from draw_times(scale)


def draw_times(scale: Scale) -> Iterator[str]:
    start, end, plot = scale.source.start, scale.source.end, scale.plot
    for part, anchor in ((0, "start"), (1, "middle"), (2, "end")):
        words = time.strftime("%H:%M:%S", time.gmtime(start + (end - start) * part / 2))
        yield text(plot.x + plot.w * part / 2, plot.y + plot.h + 14, words, 10, anchor=anchor)


def draw_legend(entries: list[tuple[str, str]], box: Box) -> Iterator[str]:
    """Names behind patches of their colours; what does not fit is counted."""
    x, line = box.x, 0
    for number, (name, colour) in enumerate(entries):
        needs = 18 + LETTER * len(name)
        if x > box.x and x + needs > box.x + box.w - 60 * (line + 1 == LEGEND_LINES):
            x, line = box.x, line + 1
        if line == LEGEND_LINES:
            yield text(box.x + box.w, box.y + box.h, f"and {len(entries) - number} more", anchor="end")
            return
        y = box.y + box.h - LEGEND_LINE * (LEGEND_LINES - 1 - line)
        yield rectangle(Box(x, y - 8, 10, 9), colour)
        yield text(x + 14, y, name)
        x += needs + 8


def draw_states(panel: Panel, series: list[Series], box: Box, source: Source) -> Iterator[str]:
    meaning = {float(value): (one["text"], COLOURS[one["color"]]) for mapping in panel.raw["fieldConfig"]["defaults"]["mappings"]
               for value, one in mapping["options"].items()}
    plot = Box(box.x + 130, box.y + 4, box.w - 134, box.h - 24 - LEGEND_LINE * LEGEND_LINES)
    scale, height = Scale(plot, 1, False, source), plot.h / len(series)
    for number, one in enumerate(series):
        y = plot.y + height * number
        yield text(plot.x - 6, y + height / 2 + 4, one.name, anchor="end")
        for start, end, value in spans(one.points, source.step):
            (left, _), (right, _) = scale.at((start, 0)), scale.at((end, 0))
            words, colour = meaning.get(value, (plain(value), "#5c7080"))
            yield rectangle(Box(left, y + height * 0.1, right - left, height * 0.8), colour, title=f"{one.name}: {words}")
    yield from draw_times(scale)
    yield from draw_legend(list(meaning.values()), box)


def spans(points: list[Point], step: float) -> Iterator[tuple[float, float, float]]:
    """Stretches of one value: start, end, value; each point stands for the step behind it, and a gap ends a stretch."""
    start, (last, value) = points[0][0], points[0]
    for at, now in points[1:]:
        if now != value or at - last > 1.5 * step:
            yield start, min(at, last + step), value
            start, value = at, now
        last = at
    yield start, last + step, value


def draw(name: str, source: Source) -> str:
    """The whole dashboard as an SVG document, with All chosen for every variable."""
    board = load(name)
    values = resolve(name, source.labels_of)
    parts = [part for panel in panels(name) for part in draw_panel(panel, source.series(panel, values), source)]
    height = HEAD + max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in board["panels"]) * ROW + 10
    span = f"{(source.end - source.start) / 60:.0f} min until {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(source.end))}"
    caption = f"{span}. Drawn by scripts/render-dashboards from what Prometheus answered to the panels' queries; not by Grafana."
    head = [text(GAP, 26, board["title"], 20, "#1f2430", weight="bold"), text(GAP, 48, caption, 12)]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="Helvetica, Arial, sans-serif">',
                      rectangle(Box(0, 0, WIDTH, height), "#f4f5f8"), *head, *parts, "</svg>", ""])
