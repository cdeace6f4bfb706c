"""The curves and diagrams of a page, as SVG whose colours are variables of the page."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pygal
from markupsafe import Markup
from pygal.style import Style

Point = tuple[float, float]

ROLES = {"train": 0, "val": 1, "best": 2}  # colours by the beginning of a name; others have those that follow
STYLE = {
    **dict.fromkeys(("background", "plot_background"), "transparent"),
    **dict.fromkeys(("foreground", "foreground_strong", "foreground_subtle"), "var(--ink)"),
    **dict.fromkeys(("guide_stroke_color", "major_guide_stroke_color"), "var(--rule)"),
    **dict.fromkeys(("label_font_size", "major_label_font_size", "legend_font_size", "title_font_size"), 14),
    **dict.fromkeys(("opacity", "stroke_opacity"), "1"),
    "font_family": "inherit",
    "stroke_width": "2",
}
FORM = {"width": 420, "height": 280, "margin": 6, "spacing": 6, "dots_size": 3, "max_scale": 7, "show_x_guides": False}
FORM |= {"legend_at_bottom": True, "legend_box_size": 10, "truncate_legend": -1, "js": ()}
DASHES, DOTS = {"dasharray": "6,3"}, {"dasharray": "1,3"}
CURVES = 24  # at most
POINTS = 400  # of a line


def curves(history: Sequence[Mapping[str, float]], best_epoch: int | None) -> dict[str, Markup]:
    """Return a figure for each metric by its name, that of train and val and their best epoch in one; loss comes first.

    Args:
        history: the rows of metrics.csv.
        best_epoch: counted from 1.
    """
    lines: dict[str, dict[str, list[Point]]] = {}
    epoch_steps = steps_of_epoch(history)
    for row in history:
        for name in row.keys() - {"epoch", "step"}:
            if not name.startswith("test"):
                metric = re.sub("^(train|val)[/_]|_epoch$", "", name)
                metric = "learning rate" if metric == "lr" or metric.startswith("lr-") else metric
                at = (row["step"] + 1) / epoch_steps if "step" in row else row.get("epoch", 0)
                lines.setdefault(metric, {}).setdefault(name, []).append((at, row[name]))
    metrics = sorted(lines, key=lambda name: (name != "loss", name.endswith("_step"), name == "learning rate", name))
    return {name: curve(lines[name], best_epoch) for name in metrics[:CURVES]}


def steps_of_epoch(history: Iterable[Mapping[str, float]]) -> float:
    """Return how many steps an epoch has: those until the last row of the first one."""
    places = [(row.get("epoch", 0), row["step"]) for row in history if "step" in row]
    first = min(places, default=(0, 0))[0]
    return max((step for epoch, step in places if epoch == first), default=0) + 1


def curve(lines: Mapping[str, Sequence[Point]], best_epoch: int | None) -> Markup:
    """Return lines over epochs, that of validation dashed, and the best epoch marked."""
    series = []
    for name, points in sorted(lines.items()):
        dashes = DASHES if name.startswith("val") else None
        series.append((name, points[:: len(points) // POINTS + 1], {"stroke_style": dashes}))
    values = [value for name, points in lines.items() for _, value in points if name.startswith("val")]
    if best_epoch and values:
        ends = [(best_epoch, min(values)), (best_epoch, max(values))]
        series.append((f"best: {best_epoch}", ends, {"stroke_style": DOTS}))
    last = max(1, *(math.ceil(points[-1][0]) for points in lines.values()))
    axis = {"xrange": (0, last), "x_labels": range(0, last + 1, last // 6 + 1)}
    return figure("epoch", series, show_dots=any(len(points) < 4 for points in lines.values()), **axis)


def reliability(bins: Iterable[Sequence[float]]) -> Markup:
    """Return accuracy over confidence, from bins of mean confidence, accuracy and count."""
    points = [(confidence, accuracy) for confidence, accuracy, _ in bins]
    line = ("calibrated", [(0, 0), (1, 1)], {"show_dots": False, "stroke_style": DASHES})
    return figure("confidence", [("accuracy", points, {}), line], range=(0, 1), xrange=(0, 1))


def predictions(points: Sequence[Point]) -> Markup:
    """Return what was predicted over the target, of some samples."""
    ends = [function(target for target, _ in points) for function in (min, max)]
    line = ("right", [(end, end) for end in ends], {"show_dots": False, "stroke_style": DASHES})
    return figure("target", [("predicted", points, {"stroke": False}), line])


def figure(x_title: str, series: Sequence[tuple[str, Sequence[Point], dict[str, Any]]], **options: Any) -> Markup:
    """Return named series of points with options of their own, in one figure."""
    words = (re.split("[/_:]", name)[0] for name, _, _ in series)
    colors = [f"var(--line-{ROLES.get(word, n) % 6})" for n, word in enumerate(words)]
    formats = {name: lambda value: f"{value:.4g}" for name in ("x_value_formatter", "value_formatter")}
    chart = pygal.XY(
        style=Style(colors=colors, value_colors=colors, **STYLE),
        x_title=x_title,
        legend_at_bottom_columns=len(series),
        **(FORM | formats | options),
    )
    for name, points, own in series:
        chart.add(name, points, **own)
    svg = chart.render(is_unicode=True, disable_xml_declaration=True)
    # Its script serves a library of tooltips that would have to be fetched.
    return Markup(re.sub("(?s)<script.*?</script>", "", svg))
