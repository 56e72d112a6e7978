"""Where the labels of an axis stand: beneath their ticks, without touching one another.

Numbers are thinned, names of levels never: they move sideways as long as they stay beneath their
tick, are broken into lines, and go to a lower tier at the end of a leader line. Lengths in mm.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.font_manager import FontProperties
from numpy.typing import NDArray

from bayes_cmvt.figures import style
from bayes_cmvt.figures.style import Name

Array = NDArray[np.float64]
Limits = tuple[float, float]

GAP_MM = 1.0  # between two labels
SLACK_MM = 0.3  # a label may end so far beside its tick
CLEAR_MM = 0.7  # between a label and the leader line of another
_WIDTHS_MM = ((100.0, 1), (34.0, 2), (24.0, 2), (18.0, 3), (12.0, 3), (8.0, 3))  # and lines
_LINES_PER_LETTER = 0.5  # what a letter is worth that is cut from every label
_LINES_PER_BREAK = 0.2
_CROSSED = 30.0  # lines that it costs when a leader line passes behind a label
_EPSILON = 1e-9


@dataclass(frozen=True)
class TickLabel:
    """One label and its place.

    Parameters
    ----------
    text : str
        Broken into lines.
    tick : float
        Place of the tick that it belongs to, in mm from the left.
    centre : float
        Place of the middle of the label.
    line : int
        Lines of text between the axis and this label; more than 0 has a leader line.
    """

    text: str
    tick: float
    centre: float
    line: int = 0

    @property
    def last_line(self) -> int:
        """Lines of text from the axis down to the end of this label."""
        return self.line + 1 + self.text.count("\n")


# --- numbers -------------------------------------------------------------------------------------


def thinned(
    ticks: Array, texts: Sequence[str], limits: Limits, font: FontProperties
) -> list[TickLabel]:
    """Labels of round numbers: every one, else every second and so on, and always both ends.

    Parameters
    ----------
    ticks : ndarray, shape (tick,)
        In mm.
    texts : sequence of str
    limits : tuple of float
        Ends of the room for labels, in mm.
    font : FontProperties

    Returns
    -------
    list of TickLabel
        From the left; where not even both ends have room they share a label, ``20 – 80``.
    """
    order = np.argsort(ticks, kind="stable")
    placed = np.asarray(ticks, dtype=float)[order]
    ordered = [texts[place] for place in order]
    widths = np.array([style.text_mm(text, font) for text in ordered])
    for every in range(1, len(ordered)):
        kept = _every(placed, widths, every)
        centres = np.clip(placed[kept], limits[0] + widths[kept] / 2, limits[1] - widths[kept] / 2)
        if _apart(centres, widths[kept]):
            return _labels(ordered, placed, centres, kept)
    ends = [0, len(ordered) - 1] if len(ordered) > 1 else [0]
    starts = spread(placed[ends], widths[ends], limits)
    if starts is None:
        middle = float(placed[ends].mean())
        return [TickLabel(" – ".join(ordered[end] for end in ends), middle, middle)]
    return _labels(ordered, placed, starts + widths[ends] / 2, ends)


def _every(ticks: Array, widths: Array, every: int) -> list[int]:
    """Every so many ticks and the last one; the one before it makes room."""
    last = len(ticks) - 1
    kept = list(range(0, last, every))
    while len(kept) > 1 and not _apart(ticks[[kept[-1], last]], widths[[kept[-1], last]]):
        kept.pop()
    return [*kept, last]


def _apart(centres: Array, widths: Array) -> bool:
    return bool((np.diff(centres) >= (widths[1:] + widths[:-1]) / 2 + GAP_MM - _EPSILON).all())


def _labels(
    texts: Sequence[str], ticks: Array, centres: Array, kept: Sequence[int]
) -> list[TickLabel]:
    return [
        TickLabel(texts[place], float(ticks[place]), float(centre))
        for place, centre in zip(kept, centres, strict=True)
    ]


# --- names ---------------------------------------------------------------------------------------


def placed_names(ticks: Array, called: Sequence[Name], limits: Limits) -> list[TickLabel]:
    """Labels of levels: all of them, in as few lines as they need.

    Levels whose ticks cannot be told apart in print share a label.

    Parameters
    ----------
    ticks : ndarray, shape (level,)
        In mm.
    called : sequence of Name
    limits : tuple of float
        Ends of the room for labels, in mm.

    Returns
    -------
    list of TickLabel
        From the left.
    """
    places, names = _shared(np.asarray(ticks, dtype=float), called)
    best: list[TickLabel] = []
    least = np.inf
    whole = np.array([style.text_mm(name.text, name.font) for name in names])
    for width, lines in _WIDTHS_MM:
        room = min(width, limits[1] - limits[0])
        if best and (room > whole.max() or _least_cost(names, whole, room * lines) >= least):
            continue  # nothing would be broken: as before; or too much would be cut
        labels, crossed = _arranged(places, names, (room, lines), limits)
        cost = _cost(labels, names) + (_CROSSED if crossed else 0.0)
        if cost < least:
            best, least = labels, cost
        if least <= 1:
            break
    return best


def _arranged(
    ticks: Array, called: Sequence[Name], room: tuple[float, int], limits: Limits
) -> tuple[list[TickLabel], bool]:
    """Labels broken to a width and a number of lines; whether a leader line crosses any."""
    texts = style.fitted_names(called, *room)
    widths = np.array(
        [style.text_mm(text, name.font) for text, name in zip(texts, called, strict=True)]
    )
    tiers = _tiers(ticks, widths, limits)
    crossed = not tiers
    return _stacked(texts, ticks, widths, tiers or _one_by_one(ticks, widths, limits)), crossed


def _least_cost(called: Sequence[Name], whole: Array, room: float) -> float:
    """What labels cost at least that have so much room, if their letters are about equally wide."""
    letters = np.array([len(name.text) for name in called])
    lost = letters * np.maximum(0.0, 1 - room / whole)
    return 1 + _LINES_PER_LETTER * 0.8 * float(lost.mean())


def _cost(labels: Sequence[TickLabel], called: Sequence[Name]) -> float:
    """Lines, letters that each label has lost on average, and labels that are broken."""
    kept = sum(len(label.text.replace("…", "")) for label in labels)
    lost = sum(len(name.text) for name in called) - kept
    broken = sum(label.text.count("\n") for label in labels)
    lines = max(label.last_line for label in labels)
    return lines + _LINES_PER_LETTER * lost / len(called) + _LINES_PER_BREAK * broken


def _shared(ticks: Array, called: Sequence[Name]) -> tuple[Array, list[Name]]:
    """Ticks from the left with their names, joined where two ticks are one to the eye."""
    order = np.argsort(ticks, kind="stable")
    groups: list[list[int]] = []
    for place in order:
        if groups and ticks[place] - ticks[groups[-1][0]] < GAP_MM - 2 * SLACK_MM:
            groups[-1].append(int(place))
        else:
            groups.append([int(place)])
    names = [
        Name(
            ", ".join(called[place].term for place in group),
            ", ".join(called[place].text for place in group),
            max((called[place].families for place in group), key=len),
        )
        for group in groups
    ]
    return np.array([ticks[group].mean() for group in groups]), names


def _tiers(ticks: Array, widths: Array, limits: Limits) -> list[dict[int, float]]:
    """Left ends of labels by tier; leader lines to lower tiers touch no label on the way.

    Empty where that cannot be done.
    """
    waiting = list(range(len(ticks)))
    tiers: list[dict[int, float]] = []
    while waiting:
        starts = spread(ticks[waiting], widths[waiting], limits)
        if starts is not None:
            return [*tiers, dict(zip(waiting, starts.tolist(), strict=True))]
        tier = _one_tier(ticks, widths, waiting, limits)
        if not tier:
            return []
        tiers.append(tier)
        waiting = [place for place in waiting if place not in tier]
    return tiers


def _one_by_one(ticks: Array, widths: Array, limits: Limits) -> list[dict[int, float]]:
    """Each label in a tier of its own."""
    starts = np.clip(ticks - widths / 2, limits[0], limits[1] - widths)
    return [{place: float(start)} for place, start in enumerate(starts)]


def _one_tier(
    ticks: Array, widths: Array, waiting: Sequence[int], limits: Limits
) -> dict[int, float]:
    """Labels that have room between the ticks of those that wait for a lower tier."""
    tier: dict[int, float] = {}
    wall = limits[0]
    for place, following in zip(waiting, [*waiting[1:], -1], strict=True):
        right = limits[1] if following < 0 else ticks[following] - CLEAR_MM
        low = max(wall, ticks[place] - widths[place] - SLACK_MM)
        high = min(right - widths[place], ticks[place] + SLACK_MM)
        if low <= high + _EPSILON:
            tier[place] = float(np.clip(ticks[place] - widths[place] / 2, low, high))
            wall = tier[place] + widths[place] + GAP_MM
        else:
            wall = max(wall, ticks[place] + CLEAR_MM)
    return tier


def spread(ticks: Array, widths: Array, limits: Limits) -> Array | None:
    """Left ends of labels on one line, each beneath its tick; None where there is no room.

    Labels are moved as little as possible: least squares under the order of the ticks.

    Examples
    --------
    >>> spread(np.array([10.0, 12.0]), np.array([4.0, 4.0]), (0.0, 100.0)).tolist()
    [6.5, 11.5]
    >>> spread(np.array([10.0, 10.1]), np.array([4.0, 4.0]), (0.0, 100.0)) is None
    True
    """
    taken = np.concatenate(([0.0], np.cumsum(widths + GAP_MM)[:-1]))
    low = np.maximum(ticks - widths - SLACK_MM, limits[0]) - taken
    high = np.minimum(ticks + SLACK_MM, limits[1] - widths) - taken
    low, high = np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]
    if (low > high + _EPSILON).any():
        return None
    return np.clip(_increasing(ticks - widths / 2 - taken), low, high) + taken


def _increasing(values: Array) -> Array:
    """Nearest non-decreasing values: the largest of the smallest means around each place."""
    places = range(len(values))
    return np.array(
        [
            max(min(values[j : k + 1].mean() for k in places[i:]) for j in places[: i + 1])
            for i in places
        ]
    )


def _stacked(
    texts: Sequence[str], ticks: Array, widths: Array, tiers: Sequence[dict[int, float]]
) -> list[TickLabel]:
    """Tiers as lines of text: each begins where the longest label of the one above ends."""
    return sorted(_in_lines(texts, ticks, widths, tiers), key=lambda label: label.tick)


def _in_lines(
    texts: Sequence[str], ticks: Array, widths: Array, tiers: Sequence[dict[int, float]]
) -> Iterator[TickLabel]:
    line = 0
    for tier in tiers:
        for place, start in tier.items():
            centre = start + float(widths[place]) / 2
            yield TickLabel(texts[place], float(ticks[place]), centre, line)
        line += max(1 + texts[place].count("\n") for place in tier)
