"""The figures of the page: drawn by matplotlib, as SVG that takes its colours from the page.

Colours are stand-ins while they are drawn, and custom properties of CSS afterwards: so one figure
serves a light page, a dark one and paper. Text stays text.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from html import escape
from io import StringIO
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, MaxNLocator

from pydicombatch.core.records import Share
from pydicombatch.report.page.content import Bucket, quantile

INK, MUTED, GRID, WINDOW = "#010101", "#020202", "#030303", "#040404"
FIRST, SECOND, THIRD = "#050505", "#060606", "#070707"
PROPERTIES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    WINDOW: "--window",
    FIRST: "--first",
    SECOND: "--second",
    THIRD: "--third",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text is text: it can be read, searched and spoken
    "svg.hashsalt": "",  # the same numbers give the same page
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "ytick.left": False,
    "legend.frameon": False,
}
Span = tuple[datetime, datetime]


def progress(
    step: timedelta, found: Sequence[Bucket], windows: Iterable[Span], zone: tzinfo
) -> str:
    """Draw instances, data and throughput over time, and when the windows were open."""
    with mpl.rc_context({**STYLE, "axes.grid.axis": "y"}):
        figure = Figure(figsize=(9.4, 6.6), layout=ConstrainedLayoutEngine(h_pad=0.12))
        sums, sizes, rates = figure.subplots(3, 1, sharex=True)
        edges = [one.at for one in found] + [found[-1].at + step]
        start, end = edges[0], edges[-1]
        for axes in (sums, sizes, rates):
            _shade(axes, windows)
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=axes is sums))
        _climb(sums, edges, [one.instances for one in found], FIRST)
        sums.set_title("Instances stored")
        sums.yaxis.set_major_formatter(EngFormatter(sep=""))
        _climb(sizes, edges, [one.bytes for one in found], SECOND)
        sizes.set_title("Data stored")
        sizes.yaxis.set_major_formatter(EngFormatter(unit="B"))
        rate = [one.bytes / step.total_seconds() for one in found]
        rates.bar(date2num(edges[:-1]), rate, step / timedelta(days=1), align="edge", color=THIRD)
        rates.set_ylim(0, max(rate) * 1.06 or 1)
        rates.set_title("Throughput")
        rates.yaxis.set_major_formatter(EngFormatter(unit="B/s"))
        locator = AutoDateLocator(tz=zone, minticks=3, maxticks=8)
        rates.xaxis.set_major_locator(locator)
        rates.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))
        rates.xaxis.get_offset_text().set_color(MUTED)
        rates.set_xlim(date2num(start), date2num(end))
        return _svg(figure, "progress", "Instances, data and throughput over time")


def latency(ordered: Sequence[float]) -> str:
    """Draw how many requests took how long; the seconds are in order."""
    with mpl.rc_context({**STYLE, "axes.grid.axis": "y"}):
        figure = Figure(figsize=(9.4, 2.9), layout="constrained")
        axes = figure.subplots()
        low, high = max(ordered[0], 1e-3), max(ordered[-1], 2e-3)
        ratio = max(high / low, 1.5)
        edges = [low * ratio ** (number / 40) for number in range(41)]
        edges[0], edges[-1] = min(edges[0], ordered[0]), max(edges[-1], ordered[-1]) * 1.001
        axes.hist(ordered, edges, color=FIRST)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        # one to the left of its line, one to the right: the two may be close to each other
        for share, style, side in ((0.5, "-", "right"), (0.95, "--", "left")):
            at = quantile(ordered, share)
            axes.axvline(at, color=INK, linewidth=1.2, linestyle=style)
            axes.annotate(
                f"{share:.0%}: {seconds(at)}",
                (at, 1),
                (-3 if side == "right" else 3, 2),
                xycoords=("data", "axes fraction"),
                ha=side,
                textcoords="offset points",
                annotation_clip=False,
            )
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds(value)))
        axes.xaxis.set_minor_formatter("")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_ylabel("requests")
        return _svg(figure, "latency", "How long requests took")


def distribution(name: str, title: str, shares: Sequence[Share], what: str) -> str:
    """Draw how much there is of each value: `what` is a field of `Share`."""
    bars = [(one.value or "unknown", int(getattr(one, what))) for one in shares]
    with mpl.rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(4.6, 0.9 + 0.27 * max(len(bars), 3)), layout="constrained")
        axes = figure.subplots()
        drawn = axes.barh(
            [value for value, _ in bars], [count for _, count in bars], 0.7, color=FIRST
        )
        axes.invert_yaxis()
        axes.set_title(f"{title} ({what})")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.bar_label(drawn, fmt="{:,.0f}", padding=3, color=INK, fontsize=9)
        axes.margins(x=0.18)
        return _svg(figure, name, f"{what.capitalize()} by {title.lower()}")


def seconds(value: float) -> str:
    """Write a length of time as people say it."""
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1000:.3g} ms"


def _shade(axes: Axes, windows: Iterable[Span]) -> None:
    for start, end in windows:
        axes.axvspan(date2num(start), date2num(end), color=WINDOW, linewidth=0, zorder=0)


def _climb(axes: Axes, edges: Sequence[datetime], steps: Sequence[int], color: str) -> None:
    total, heights = 0, [0]
    for one in steps:
        total += one
        heights.append(total)
    axes.fill_between(date2num(edges), heights, color=color, alpha=0.18, linewidth=0)
    axes.plot(date2num(edges), heights, color=color, linewidth=1.8)
    axes.set_ylim(0, total * 1.06 or 1)


def _svg(figure: Figure, name: str, title: str) -> str:
    """Return a figure as an element of the page, its names its own."""
    out = StringIO()
    empty = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=empty)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    for color, variable in PROPERTIES.items():
        text = text.replace(color, f"var({variable})")
    text = re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL)  # it would rule the page
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\g<1>#{name}-", text)
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    label = f'role="img" aria-label="{escape(title)}" class="{name}" {box[0] if box else ""}'
    namespaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {namespaces} {label}>{body}"
