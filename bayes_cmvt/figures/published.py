"""Figures of printed results: odds ratios under each prior, scenarios, printed responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import style
from bayes_cmvt.figures.predictor_rows import STRIPE, log_axis
from bayes_cmvt.figures.style import BAND, DIM, FAINT, INK, Name

Keys = dict[str, Any]  # words of the legend to what is drawn beside them

PRINTED, CONDITIONAL = "printed", "conditional"
PRIORS: Mapping[str, str] = MappingProxyType(
    {
        "weak": "weak prior",
        "moderate": "moderate prior",
        "strong": "strong prior",
        "optimistic": "optimistic prior",
        "pessimistic": "pessimistic prior",
        "horseshoe": "horseshoe prior",
    }
)
_EDGE_MM, _GAP_MM = 2.0, 3.0
_AXIS_MM = 2.2 + style.lines_mm(1)  # ticks and their numbers


def _below_mm(titles: Sequence[str]) -> float:
    """Room for ticks, numbers and the title of an axis with the most lines."""
    lines = 1 + max(title.count("\n") for title in titles)
    return _AXIS_MM + style.lines_mm(lines, style.LARGE) + 1.0


# --- odds ratios ---------------------------------------------------------------------------------

_PITCH_MM = (0.9, 2.4)  # of the lines of a predictor, smallest and largest
_BETWEEN_MM = 1.8  # predictors
_ONE_COLUMN = 10  # predictors; more stand in two columns
_WIDEST = 500.0  # odds ratios farther from 1 are cut unless they are an estimate


@dataclass(frozen=True)
class _Line:
    """One interval of a predictor; ``value`` is nan where there is no point in it."""

    kind: str
    value: float
    low: float
    high: float
    hollow: bool = False
    rounded: tuple[float, float] | None = None


@dataclass(frozen=True)
class _Block:
    """A predictor and its intervals, from the top."""

    name: Name
    contrast: Name
    lines: tuple[_Line, ...]

    @property
    def font(self) -> Name:
        """The name with the fonts of both texts."""
        return replace(
            self.name, families=tuple(dict.fromkeys(self.name.families + self.contrast.families))
        )


def plot_published(
    published: pd.DataFrame,
    published_priors: pd.DataFrame,
    *,
    rounding: pd.DataFrame | None = None,
    interval: float = 0.95,
    width_mm: float | None = None,
) -> Figure:
    """Printed odds ratios, what selection leaves of them, and what each prior makes of them.

    A group of lines for each predictor, from the top: the printed odds ratio with the interval that
    its P value implies, hollow where P is a bound and the interval the widest that it allows; the
    interval given that the predictor was selected, which has no point; the posterior median and
    interval under each prior that applies. What does not apply is absent. Intervals that leave the
    axis end in an arrow. More than ten predictors stand in two columns with the same axis.

    Parameters
    ----------
    published : DataFrame, one row for each printed effect
        ``term, label, odds_ratio, ci_lower, ci_upper, conditional_lower, conditional_upper``;
        ``z, z_upper`` tell a bound, ``contrast_words`` what the odds ratio compares.
    published_priors : DataFrame, one row for each effect and prior
        ``term, prior, median, lower, upper``.
    rounding : DataFrame, optional
        ``term, quantity, lowest, highest``: how far the rounding of the print moves a limit, drawn
        as a thin line beyond it.
    interval : float
        Probability inside the intervals, for the legend.
    width_mm : float, optional
        85 up to ten predictors, otherwise 175.

    Returns
    -------
    Figure
        One axes for each column.

    Raises
    ------
    OptionError
        A table without the columns above, none with rows, a prior that `PRIORS` does not name, more
        predictors than a page holds.
    """
    needed = ("term", "label", "odds_ratio", "ci_lower", "ci_upper")
    given = ("conditional_lower", "conditional_upper")
    style.require_columns(published, (*needed, *given), "published")
    if len(published_priors):
        columns = ("term", "prior", "median", "lower", "upper")
        style.require_columns(published_priors, columns, "published_priors")
    blocks = _blocks(published, published_priors, rounding)
    parts = _in_columns(blocks)
    wide = style.SINGLE_MM if len(parts) == 1 else style.DOUBLE_MM
    with style.journal():
        return _draw_forest(parts, interval, width_mm or wide)


def _blocks(
    published: pd.DataFrame, priors: pd.DataFrame, rounding: pd.DataFrame | None
) -> list[_Block]:
    unknown = sorted(set(priors.get("prior", ())) - PRIORS.keys())
    if unknown:
        msg = f"no prior is called {unknown[0]!r}; there are {', '.join(PRIORS)}"
        raise OptionError(msg)
    terms = published["term"].astype(str).tolist()
    labels = published["label"].fillna("").astype(str).tolist()
    words = [""] * len(terms)
    if "contrast_words" in published:
        words = published["contrast_words"].fillna("").astype(str).tolist()
    return [
        _Block(name, contrast, tuple(_lines(row, priors, rounding)))
        for name, contrast, row in zip(
            style.names(terms, labels),
            style.names(words, words),
            published.to_dict("records"),
            strict=True,
        )
    ]


def _lines(
    row: dict[Any, Any], priors: pd.DataFrame, rounding: pd.DataFrame | None
) -> Iterator[_Line]:
    bound = pd.notna(row.get("z")) and pd.isna(row.get("z_upper", 0.0))
    rounded = _rounded(row["term"], rounding)
    yield _Line(PRINTED, row["odds_ratio"], row["ci_lower"], row["ci_upper"], bound, rounded)
    if pd.notna(row["conditional_lower"]):
        yield _Line(CONDITIONAL, np.nan, row["conditional_lower"], row["conditional_upper"])
    if priors.empty:
        return
    of_term = priors[priors["term"] == row["term"]].to_dict("records")
    own = {one["prior"]: one for one in of_term if pd.notna(one["median"])}
    for prior in PRIORS:
        if prior in own:
            one = own[prior]
            yield _Line(prior, one["median"], one["lower"], one["upper"])


def _rounded(term: str, rounding: pd.DataFrame | None) -> tuple[float, float] | None:
    """Outermost limits that the rounding of the print allows."""
    if rounding is None or rounding.empty:
        return None
    of_term = rounding[rounding["term"] == term].to_dict("records")
    own = {one["quantity"]: one for one in of_term}
    if not {"ci_lower", "ci_upper"} <= own.keys():
        return None
    ends = (float(own["ci_lower"]["lowest"]), float(own["ci_upper"]["highest"]))
    return ends if np.isfinite(ends).all() else None


def _in_columns(blocks: list[_Block]) -> list[list[_Block]]:
    """One column, or two of about the same number of lines."""
    if len(blocks) <= _ONE_COLUMN:
        return [blocks]
    before = np.cumsum([len(block.lines) + 1 for block in blocks])
    first = int(np.argmin(np.abs(before - before[-1] / 2))) + 1
    return [blocks[:first], blocks[first:]]


@dataclass(frozen=True)
class _Rows:
    """Heights of a column's blocks, in mm."""

    names: list[str]
    heights: list[float]
    pitch: float

    @property
    def total(self) -> float:
        return sum(self.heights)


def _rows(blocks: list[_Block], names: list[str], pitch: float) -> _Rows:
    heights = [
        max(len(block.lines) * pitch, style.lines_mm(1 + name.count("\n"))) + _BETWEEN_MM
        for block, name in zip(blocks, names, strict=True)
    ]
    return _Rows(names, heights, pitch)


def _block_text(block: _Block, name_mm: float) -> str:
    """Name and contrast, each on at most two lines of its own."""
    (name,) = style.fitted_names([block.name], name_mm, 2)
    if not block.contrast.text:
        return name
    return f"{name}\n{style.fitted_names([block.contrast], name_mm, 2)[0]}"


def _draw_forest(parts: list[list[_Block]], interval: float, width_mm: float) -> Figure:
    keys = _forest_keys([block for part in parts for block in part], interval)
    columns = style.legend_columns(list(keys), width_mm - 2 * _EDGE_MM)
    top = _EDGE_MM + style.legend_mm(len(keys), columns) + _GAP_MM
    across = (width_mm - _EDGE_MM) / len(parts)
    name_mm = min(46.0, 0.38 * across)
    below = _below_mm(["Odds ratio"])
    rows = _fitting(parts, name_mm, top + below)
    tallest = max(part.total for part in rows)
    figure = style.blank_figure(width_mm, top + tallest + below + _EDGE_MM)
    limits = _odds_limits([line for part in parts for block in part for line in block.lines])
    for place, (part, row) in enumerate(zip(parts, rows, strict=True)):
        left = _EDGE_MM + place * across + name_mm + 2.5
        width = across - name_mm - 2.5 - _EDGE_MM
        axes = style.panel(figure, left, top, width, row.total)
        _draw_blocks(axes, part, row, limits)
        log_axis(axes, limits, width)
        axes.set_xlabel("Odds ratio")
    style.add_legend(figure, keys, left=_EDGE_MM, top=_EDGE_MM, columns=columns)
    figure.draw_without_rendering()
    return figure


def _fitting(parts: list[list[_Block]], name_mm: float, used_mm: float) -> list[_Rows]:
    """Rows as far apart as the page allows."""
    room = style.PAGE_MM - used_mm - _EDGE_MM
    names = [[_block_text(block, name_mm) for block in part] for part in parts]
    for pitch in np.linspace(_PITCH_MM[1], _PITCH_MM[0], 16):
        rows = [_rows(part, own, float(pitch)) for part, own in zip(parts, names, strict=True)]
        if max(part.total for part in rows) <= room:
            return rows
    count = sum(len(part) for part in parts)
    msg = f"a page has no room for {count} predictors with their intervals; draw fewer"
    raise OptionError(msg)


def _forest_keys(blocks: list[_Block], interval: float) -> Keys:
    """What the legend needs to say, as far as it is drawn."""
    lines = [line for block in blocks for line in block.lines]
    kinds = {line.kind for line in lines}
    words = {PRINTED: f"printed; {interval:.0%} interval behind it".replace("%", " %")}
    words |= {CONDITIONAL: "given that it was selected", **PRIORS}
    keys: Keys = {text: _handle(kind) for kind, text in words.items() if kind in kinds}
    if any(line.hollow for line in lines):
        keys["P a bound: widest interval"] = _handle(PRINTED, hollow=True)
    return keys


def _handle(kind: str, *, hollow: bool = False) -> Line2D:
    if kind == CONDITIONAL:
        return Line2D([], [], color=FAINT, linewidth=2.6, solid_capstyle="butt")
    mark = _mark(kind)
    return Line2D(
        [],
        [],
        color=mark.colour,
        marker=mark.marker,
        markersize=3.4,
        markeredgewidth=max(mark.edge, 0.8 if hollow else 0.0),
        markerfacecolor="white" if hollow else mark.colour,
        linewidth=0.9,
    )


def _mark(kind: str) -> style.Mark:
    return style.MARKS[0 if kind == PRINTED else 1 + list(PRIORS).index(kind)]


def _odds_limits(lines: Sequence[_Line]) -> tuple[float, float]:
    """Ends of the axis: all estimates, and intervals as far as they can be read."""
    points = np.array([line.value for line in lines if np.isfinite(line.value) and line.value > 0])
    ends = np.array([end for line in lines for end in (line.low, line.high, *(line.rounded or ()))])
    ends = np.clip(ends[np.isfinite(ends)], 1 / _WIDEST, _WIDEST)
    every = np.concatenate([points / 1.3, points * 1.3, ends, [0.8, 1.25]])
    low, high = float(every.min()), float(every.max())
    spare = (high / low) ** 0.03
    return low / spare, high * spare


def _draw_blocks(
    axes: Axes, blocks: list[_Block], rows: _Rows, limits: tuple[float, float]
) -> None:
    """Lines of each predictor in mm from the top of the axes."""
    starts = np.cumsum([0.0, *rows.heights[:-1]])
    centres = starts + np.array(rows.heights) / 2
    size = float(np.clip(1.5 * rows.pitch, 2.0, 3.4))
    axes.set(xscale="log", xlim=limits, ylim=(rows.total, 0.0))
    for place in range(0, len(blocks), 2):
        end = starts[place] + rows.heights[place]
        axes.axhspan(starts[place], end, color=STRIPE, linewidth=0, zorder=0)
    axes.axvline(1.0, color=INK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    for block, centre in zip(blocks, centres, strict=True):
        first = centre - (len(block.lines) - 1) / 2 * rows.pitch
        for place, line in enumerate(block.lines):
            _draw_line(axes, line, first + place * rows.pitch, size, limits)
    axes.set_yticks(centres, labels=rows.names)
    axes.tick_params(axis="y", length=0, pad=5)
    style.write_names(axes.get_yticklabels(), [block.font for block in blocks])
    axes.spines["left"].set_visible(False)


def _draw_line(
    axes: Axes, line: _Line, at: float, size: float, limits: tuple[float, float]
) -> None:
    if line.rounded is not None:
        axes.hlines(at, *np.clip(line.rounded, *limits), color=INK, linewidth=0.35, zorder=2)
    if line.kind == CONDITIONAL:
        ends = np.clip((line.low, line.high), *limits)
        width = min(2.6, 0.8 * size)
        axes.hlines(at, *ends, color=FAINT, linewidth=width, zorder=2, capstyle="butt")
        _draw_arrows(axes, line, at, FAINT, limits)
        return
    mark = _mark(line.kind)
    if np.isfinite(line.low) and np.isfinite(line.high):
        ends = np.clip((line.low, line.high), *limits)
        axes.hlines(at, *ends, color=mark.colour, linewidth=0.9, zorder=2)
        _draw_arrows(axes, line, at, mark.colour, limits)
    axes.plot(
        line.value,
        at,
        marker=mark.marker,
        markersize=size,
        color=mark.colour,
        markeredgewidth=max(mark.edge, 0.8 if line.hollow else 0.0),
        markerfacecolor="white" if line.hollow else mark.colour,
        zorder=3,
    )


def _draw_arrows(
    axes: Axes, line: _Line, at: float, colour: str, limits: tuple[float, float]
) -> None:
    """Heads where an interval goes on beyond the axis."""
    for beyond, end, marker in (
        (line.low < limits[0], limits[0], "<"),
        (line.high > limits[1], limits[1], ">"),
    ):
        if beyond:
            axes.plot(end, at, marker=marker, markersize=3.0, color=colour, clip_on=False, zorder=3)


# --- scenarios -----------------------------------------------------------------------------------

_SCENARIO_MM = (3.4, 5.0)
_MOST_SCENARIOS = 40
_SPLIT, _SHARE = "P of so uneven a split, at random", "Share of patients with the event"
_SCENARIO_HEADING = (
    "Events in development + validation; printed sensitivity and specificity taken as printed "
    "or with their labels swapped, in each"
)


def plot_scenarios(
    scenarios: pd.DataFrame, *, most: int = _MOST_SCENARIOS, width_mm: float = style.DOUBLE_MM
) -> Figure:
    """Numbers of events that reproduce the printed rates, and what speaks for each of them.

    A row for each scenario, the likeliest above: its weight, the probability of so uneven a split
    of the events, its share of events, filled where that lies in the range of the literature. The
    weights are judgements: their factors are in the table.

    Parameters
    ----------
    scenarios : DataFrame, one row for each scenario
        ``labels_development, labels_validation, events_development, events_validation,
        event_share, split_p, in_literature, weight, default``.
    most : int
        Scenarios drawn, those with the largest weight.
    width_mm : float

    Returns
    -------
    Figure
        Axes: weights, probabilities of the split, shares of events.

    Raises
    ------
    OptionError
        A table without the columns above or without rows.
    """
    needed = (
        *("labels_development", "labels_validation", "events_development", "events_validation"),
        *("event_share", "split_p", "in_literature", "weight", "default"),
    )
    style.require_columns(scenarios, needed, "scenarios")
    drawn = scenarios.sort_values("weight", ascending=False, kind="stable").head(most)
    with style.journal():
        names = _scenario_names(drawn)
        name_mm = max(style.text_mm(name) for name in names)
        row = float(np.clip(150.0 / len(drawn), *_SCENARIO_MM))
        title = _left_out(len(scenarios), len(drawn))
        keys = _scenario_keys(drawn)
        columns = style.legend_columns(list(keys), width_mm - 2 * _EDGE_MM)
        heading = _EDGE_MM + style.legend_mm(len(keys), columns) + _GAP_MM
        said = style.filled(_SCENARIO_HEADING, width_mm - 2 * _EDGE_MM, style.SMALL)
        top = heading + style.lines_mm(1 + said.count("\n")) + 1.0
        left = _EDGE_MM + name_mm + 2.0
        room = width_mm - left - _EDGE_MM - 4 * _GAP_MM
        number_mm = style.text_mm("<0.001") + 1.0
        panel = (room - number_mm) / 3
        titles = [style.filled(text, panel) for text in (f"Weight{title}", _SPLIT, _SHARE)]
        below = _below_mm(titles)
        figure = style.blank_figure(width_mm, top + row * len(drawn) + below + _EDGE_MM)
        places = [left, left + panel + number_mm + 2 * _GAP_MM]
        places.append(places[1] + panel + 1.5 * _GAP_MM)
        axes = [style.panel(figure, place, top, panel, row * len(drawn)) for place in places]
        _draw_weights(axes[0], drawn, names, titles[0])
        _draw_split(axes[1], drawn, titles[1], panel)
        _draw_event_shares(axes[2], drawn, titles[2])
        style.add_legend(figure, keys, left=_EDGE_MM, top=_EDGE_MM, columns=columns)
        across, down = style.figure_mm(figure)
        figure.text(_EDGE_MM / across, 1 - heading / down, said, va="top", linespacing=1.1)
        figure.draw_without_rendering()
    return figure


def _scenario_names(scenarios: pd.DataFrame) -> list[str]:
    """Numbers of events of both sets, and what their printed labels are taken to be."""
    names = []
    for row in scenarios.to_dict("records"):
        events = [row["events_development"], row["events_validation"]]
        counts = " + ".join("?" if pd.isna(count) else f"{int(count)}" for count in events)
        labels = [str(row[f"labels_{name}"]) for name in ("development", "validation")]
        names.append(f"{counts}; {' / '.join(labels)}")
    return names


def _left_out(all_of_them: int, drawn: int) -> str:
    return "" if drawn == all_of_them else f" ({drawn} of {all_of_them} scenarios, the largest)"


def _scenario_keys(scenarios: pd.DataFrame) -> Keys:
    keys: Keys = {}
    if scenarios["default"].eq(True).any():
        keys["assumed where one scenario is needed"] = Patch(facecolor=BAND, linewidth=0)
    literature = scenarios["in_literature"]
    point: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4.0, "color": INK}
    if literature.eq(True).any():
        keys["in the range of the literature"] = Line2D([], [], **point)
    if literature.eq(False).any():
        hollow = Line2D([], [], **point, markerfacecolor="white")
        keys["outside the range of the literature"] = hollow
    return keys


def _draw_weights(axes: Axes, scenarios: pd.DataFrame, names: list[str], title: str) -> None:
    rows, weight = np.arange(len(scenarios)), scenarios["weight"].to_numpy(dtype=float)
    _row_axis(axes, scenarios)
    axes.barh(rows, weight, height=0.55, color=DIM, zorder=2)
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"])
    axes.set_yticks(rows, labels=names)
    axes.set_xlabel(title)
    for row, value in zip(rows, weight, strict=True):
        number = "<0.001" if value < 0.001 else f"{value:.3f}"
        axes.annotate(
            number,
            (1.0, row),
            xytext=(3, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=style.SMALL,
            annotation_clip=False,
        )


def _draw_split(axes: Axes, scenarios: pd.DataFrame, title: str, width_mm: float) -> None:
    _row_axis(axes, scenarios)
    split = scenarios["split_p"].to_numpy(dtype=float)
    known = split[np.isfinite(split) & (split > 0)]
    least = min(0.01, float(known.min(initial=1.0)))
    limits = (least**1.06, least**-0.06)
    axes.set(xscale="log", xlim=limits, yticks=[])
    rows = np.arange(len(scenarios))
    axes.plot(split, rows, linestyle="none", marker="D", markersize=3.4, color=DIM, zorder=3)
    log_axis(axes, limits, width_mm)
    axes.set_xlabel(title)


def _draw_event_shares(axes: Axes, scenarios: pd.DataFrame, title: str) -> None:
    _row_axis(axes, scenarios)
    share, rows = scenarios["event_share"].to_numpy(dtype=float), np.arange(len(scenarios))
    hollow = scenarios["in_literature"].eq(False).to_numpy(dtype=bool)
    look: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 4.0, "color": INK}
    for chosen, face in ((hollow, "white"), (~hollow, INK)):
        axes.plot(share[chosen], rows[chosen], markerfacecolor=face, zorder=3, **look)
    axes.set(xlim=(0, 1), xticks=[0, 0.5, 1], xticklabels=["0", "0.5", "1"], yticks=[])
    axes.set_xlabel(title)


def _row_axis(axes: Axes, scenarios: pd.DataFrame) -> None:
    """Rows of scenarios, the assumed one shaded; grid lines to follow them."""
    axes.set_ylim(len(scenarios) - 0.5, -0.5)
    for row, default in enumerate(scenarios["default"].eq(True)):
        if default:
            axes.axhspan(row - 0.5, row + 0.5, color=BAND, linewidth=0, zorder=0)
    across = axes.get_yaxis_transform()
    rows = range(len(scenarios))
    axes.hlines(rows, 0, 1, color=BAND, linewidth=0.5, zorder=0.5, transform=across)
    axes.tick_params(axis="y", length=0, pad=3)
    axes.spines["left"].set_visible(False)


# --- responses -----------------------------------------------------------------------------------

_RESPONSE_MM = 6.5
_SHIFTED = "direction printed without a figure; size assumed"
_PROBABILITY = "Probability of response, before any patient"


def plot_responses(
    responses: pd.DataFrame, predictive: pd.DataFrame, *, width_mm: float = style.DOUBLE_MM
) -> Figure:
    """Printed shares of responders, the priors made of them, and what those predict.

    On the left the printed range of each group as a band, its prior's mean and interval; under a
    group the strata whose difference is printed as a direction only. On the right the number that
    would respond among new patients of the row.

    Parameters
    ----------
    responses : DataFrame, one row for each group
        ``group, low, high, worth, interval``.
    predictive : DataFrame, one row for each group and stratum
        ``group, stratum, prior_mean, prior_lower, prior_upper, patients, responders,
        responders_lower, responders_upper``.
    width_mm : float

    Returns
    -------
    Figure
        Axes: probabilities, numbers of responders.

    Raises
    ------
    OptionError
        A table without the columns above or without rows.
    """
    style.require_columns(responses, ("group", "low", "high", "worth", "interval"), "responses")
    needed = ("prior_mean", "prior_lower", "prior_upper", "patients")
    counts = ("responders", "responders_lower", "responders_upper")
    columns = ("group", "stratum", *needed, *counts)
    style.require_columns(predictive, columns, "response_predictive")
    rows = _response_rows(responses, predictive)
    with style.journal():
        called = style.names(rows["name"].tolist(), [""] * len(rows))
        names = style.fitted_names(called, 0.3 * width_mm, 2)
        widths = [style.text_mm(text, name.font) for text, name in zip(names, called, strict=True)]
        left = _EDGE_MM + max(widths) + 2.0
        room = width_mm - left - 2 * _EDGE_MM - 2 * _GAP_MM
        row = min(_RESPONSE_MM, 180.0 / len(rows))
        keys = _response_keys(rows, float(responses["interval"].iloc[0]))
        legend = style.legend_columns(list(keys), width_mm - 2 * _EDGE_MM)
        top = _EDGE_MM + style.legend_mm(len(keys), legend) + _GAP_MM
        wide, narrow = 0.58 * room, 0.42 * room
        titles = [style.filled(_PROBABILITY, wide), style.filled(_responders(rows), narrow)]
        height = row * len(rows)
        figure = style.blank_figure(width_mm, top + height + _below_mm(titles) + _EDGE_MM)
        first = style.panel(figure, left, top, wide, height)
        _draw_probabilities(first, rows, names)
        style.write_names(first.get_yticklabels(), called)
        second = style.panel(figure, left + wide + 2 * _GAP_MM, top, narrow, height)
        _draw_responders(second, rows)
        for axes, title in zip((first, second), titles, strict=True):
            axes.set_xlabel(title)
        style.add_legend(figure, keys, left=_EDGE_MM, top=_EDGE_MM, columns=legend)
        figure.draw_without_rendering()
    return figure


def _response_rows(responses: pd.DataFrame, predictive: pd.DataFrame) -> pd.DataFrame:
    """Groups, and the strata whose prediction is not that of their group."""
    table = predictive.merge(responses[["group", "low", "high", "worth"]], on="group", how="left")
    whole = table["stratum"].eq("all")
    own = table.groupby("group", sort=False)["prior_mean"].transform("first")
    kept = table[whole | (table["prior_mean"] != own)].reset_index(drop=True)
    whole = kept["stratum"].eq("all")
    worth = kept["worth"].map(lambda patients: f"worth {patients:g} patients")
    words = worth.where(whole, kept["stratum"])
    kept["name"] = kept["group"] + ", " + words
    return kept.assign(whole=whole)


def _response_keys(rows: pd.DataFrame, interval: float) -> Keys:
    percent = f"{interval:.0%}".replace("%", " %")
    look: dict[str, Any] = {"color": INK, "marker": "o", "markersize": 4.0, "linewidth": 0.9}
    keys: Keys = {
        "printed range": Patch(facecolor=FAINT, linewidth=0),
        f"prior: mean, {percent} interval": Line2D([], [], **look),
    }
    if not rows["whole"].all():
        keys[_SHIFTED] = Line2D([], [], **look, markerfacecolor="white")
    return keys


def _draw_probabilities(axes: Axes, rows: pd.DataFrame, names: Sequence[str]) -> None:
    for place, row in enumerate(rows.to_dict("records")):
        if row["whole"] and pd.notna(row["low"]):
            axes.barh(place, row["high"] - row["low"], left=row["low"], height=0.62, color=FAINT)
    _draw_intervals(axes, rows, ("prior_mean", "prior_lower", "prior_upper"))
    axes.set(xlim=(0, 1), xticks=[0, 0.25, 0.5, 0.75, 1])
    axes.set_xticklabels(["0", "0.25", "0.5", "0.75", "1"])
    axes.set_yticks(range(len(rows)), labels=names)


def _draw_responders(axes: Axes, rows: pd.DataFrame) -> None:
    _draw_intervals(axes, rows, ("responders", "responders_lower", "responders_upper"))
    most = int(rows["patients"].max())
    axes.set(xlim=(-0.02 * most, 1.02 * most), yticks=[])
    axes.locator_params(axis="x", nbins=5, integer=True)


def _responders(rows: pd.DataFrame) -> str:
    many = rows["patients"].unique()
    of = f"{many[0]:.0f} new patients" if len(many) == 1 else "the new patients"
    return f"Responders among {of}"


def _draw_intervals(axes: Axes, rows: pd.DataFrame, columns: tuple[str, str, str]) -> None:
    value, lower, upper = (rows[column].to_numpy(dtype=float) for column in columns)
    for place, whole in enumerate(rows["whole"]):
        axes.hlines(place, lower[place], upper[place], color=INK, linewidth=0.9, zorder=2)
        axes.plot(
            value[place],
            place,
            marker="o",
            markersize=4.0,
            color=INK,
            markerfacecolor=INK if whole else "white",
            clip_on=False,
            zorder=3,
        )
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color=BAND, linewidth=0.5, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0, pad=3)
    axes.spines["left"].set_visible(False)
