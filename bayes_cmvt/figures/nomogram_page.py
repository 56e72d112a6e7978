"""The page of a nomogram: what is written, how much room it takes, and what the legend says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayes_cmvt.figures import nomogram_risk, nomogram_rows, style
from bayes_cmvt.figures.nomogram_risk import RULER_MM, Heights
from bayes_cmvt.figures.nomogram_rows import LINE_MM, PATIENT, Cell, Scale
from bayes_cmvt.figures.nomogram_words import Language, called, level_of, say
from bayes_cmvt.figures.style import INK
from bayes_cmvt.nomogram_scales import Nomogram

EDGE_MM, _GAP_MM = 2.0, 2.5
RULER_GAP_MM = 1.8  # from the ruler of the points to the first row
_NO_BAND_MM = 1.6
_RIDGE_MM = 6.0
_PANEL_FOOT_MM = 3.4  # its ticks and their labels
TINY = 1e-9


@dataclass(frozen=True, eq=False)
class Row:
    """One predictor: its name, and its axis in each column or why there is none."""

    name: str
    cells: tuple[Cell | str, ...]

    @cached_property
    def lines(self) -> int:
        """Lines of labels under the axis."""
        return max(1, *(each.lines for each in self.cells if isinstance(each, Cell)))

    @cached_property
    def banded(self) -> bool:
        """Whether a band is drawn in any column."""
        return any(each.banded for each in self.cells if isinstance(each, Cell))

    def above_mm(self, band: float, gap: float) -> float:
        """Room above the axis."""
        return (band if self.banded else _NO_BAND_MM) + gap

    def below_mm(self, band: float, gap: float) -> float:
        """Room below the axis."""
        name = (1 + self.name.count("\n")) * LINE_MM
        return max(nomogram_rows.below_mm(self.lines), name - self.above_mm(band, gap))

    def name_mm(self, band: float, gap: float) -> float:
        """Middle of the name below the axis: at it, or as near as the row allows."""
        half = (1 + self.name.count("\n")) * LINE_MM / 2
        above, below = self.above_mm(band, gap), self.below_mm(band, gap)
        return min(max(0.0, half - above), below - half)


@dataclass(frozen=True, eq=False)
class Page:
    """Everything that is written, and how much room it takes; nothing is drawn yet."""

    shown: tuple[Nomogram, ...]
    language: Language
    width: float
    font: FontProperties
    scales: tuple[Scale, ...] = ()
    names_mm: float = 0.0
    values_mm: float = 0.0
    rows: tuple[Row, ...] = ()
    names: tuple[str, ...] = ()
    notice: tuple[str, ...] = ()
    title: tuple[str, ...] = ()
    gathered: tuple[str, ...] = ()
    panel_name: str = ""
    risk_name: str = ""
    notes: tuple[str, ...] = ()
    band: float = 0.0
    gap: float = 0.0
    panel: float = 0.0
    share: float = 1.0

    @property
    def text_mm(self) -> float:
        """Room for text across the page; on a screen letters may be 2 % wider than in print."""
        return 0.97 * (self.width - 2 * EDGE_MM)

    @property
    def weight(self) -> str:
        """Weight of headings: bold where ours is the only font, as others may have no bold cut."""
        return "bold" if len(self.font.get_family()) == 1 else "normal"

    @property
    def large(self) -> FontProperties:
        """Letters of titles."""
        family = self.font.get_family()
        return FontProperties(family=family, size=style.LARGE, weight=self.weight)

    @property
    def patient(self) -> bool:
        """Whether a patient is drawn in any column."""
        return any(nomogram.patient is not None for nomogram in self.shown)

    def say(self, key: str, **values: object) -> str:
        """Return a fixed text in the language of the figure."""
        return say(self.language, key, **values)


def drawn_axes(shown: Sequence[Nomogram]) -> list[str]:
    """Axes that any of the nomograms draws, in the order of the first one."""
    drawn: dict[str, None] = {}
    for each in shown:
        chosen = ~each.axes["gathered"].eq(True) & (each.axes["length"].abs() > TINY)
        drawn |= dict.fromkeys(each.axes.loc[chosen, "axis"].astype(str))
    return list(drawn)


# --- heights -------------------------------------------------------------------------------------


def _title_mm(page: Page) -> float:
    heading = style.lines_mm(1) if len(page.shown) > 1 else 0.0
    return title_top(page) + style.lines_mm(len(page.title), style.LARGE) + heading + 1.0


def title_top(page: Page) -> float:
    """Upper edge of the title, under the notice."""
    gap = 1.0 if page.notice else 0.0
    return EDGE_MM + style.lines_mm(len(page.notice), style.LARGE) + gap


def rows_top(page: Page) -> float:
    """Lower edge of the ruler of the points."""
    return _title_mm(page) + LINE_MM + 0.6 + RULER_GAP_MM


def rows_bottom(page: Page) -> float:
    """Lower edge of the last row."""
    rooms = (
        row.above_mm(page.band, page.gap) + row.below_mm(page.band, page.gap) for row in page.rows
    )
    return rows_top(page) + sum(rooms)


def baselines(page: Page) -> list[float]:
    """Places of the axes."""
    tops = [row.above_mm(page.band, page.gap) for row in page.rows]
    steps = np.cumsum([0.0, *(row.below_mm(page.band, page.gap) for row in page.rows[:-1])])
    return [float(each) for each in rows_top(page) + np.cumsum(tops) + steps]


def gathered_top(page: Page) -> float:
    """Upper edge of the lines about the gathered axes."""
    return rows_bottom(page) + 1.0


def heights(page: Page) -> Heights:
    """Lines of the lower part."""
    ridge = _RIDGE_MM * page.share if page.patient else 0.0
    gap = _GAP_MM * page.share
    below_rows = rows_bottom(page) + len(page.gathered) * LINE_MM + gap
    total = below_rows + ridge + (1.0 if page.gathered else 0.0)
    lines = max(0, page.risk_name.count("\n")) * LINE_MM / 2
    risk = total + RULER_MM + gap + lines
    top = risk + max(RULER_MM, lines + LINE_MM) + gap
    return Heights(total, risk, top, top + page.panel, ridge)


def legend_mm(page: Page) -> float:
    """Height of the legend."""
    labels = list(legend_keys(page))
    return style.legend_mm(len(labels), style.legend_columns(labels, page.text_mm, page.font))


def height_mm(page: Page) -> float:
    """Height of the figure."""
    at = heights(page)
    words = len(page.notes) * LINE_MM + 0.6
    return legend_top(at) + legend_mm(page) + words + EDGE_MM


def legend_top(at: Heights) -> float:
    """Upper edge of the legend."""
    return at.panel_bottom + _PANEL_FOOT_MM + _GAP_MM - 0.5


# --- the legend ----------------------------------------------------------------------------------


def legend_keys(page: Page) -> dict[str, Any]:
    """Words of the legend to what is drawn beside them."""
    banded = [row for row in page.rows if row.banded]
    cells = [each for row in banded for each in row.cells if isinstance(each, Cell)]
    line = Line2D([], [], color=INK, linewidth=0.6)
    wedge = Patch(facecolor=nomogram_rows.WEDGE, linewidth=0)
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": INK}
    keys: dict[str, Any] = {}
    level = level_of(page.shown[0], page.language)
    if any(each.continuous for each in cells):
        keys[page.say("key_band", level=level)] = (wedge, line)
    if any(not each.continuous for each in cells):
        keys[page.say("key_level", level=level)] = (wedge, Line2D([], [], markersize=1.8, **dot))
    if cells:
        hollow = Line2D([], [], markersize=2.6, markerfacecolor="white", **dot)
        keys[page.say("key_reference")] = hollow
    keys[page.say("key_central")] = Line2D([], [], color=INK, linewidth=1.0)
    if any(each.risk["lower"].notna().any() for each in page.shown):
        keys[page.say("key_inner")] = Patch(facecolor=nomogram_risk.INNER, linewidth=0)
        keys[page.say("key_envelope")] = Patch(facecolor=nomogram_risk.ENVELOPE, linewidth=0)
    return keys | _patient_keys(page)


def _patient_keys(page: Page) -> dict[str, Any]:
    named = [each for each in page.shown if each.patient is not None]
    if not named:
        return {}
    mark = Line2D([], [], color=PATIENT, linewidth=1.4, marker="D", markersize=4.2)
    ridge = Patch(facecolor=nomogram_risk.RIDGE, edgecolor=PATIENT, linewidth=0.6)
    level, name = level_of(named[0], page.language), called(named[0], page.language)
    known = any(each.patient.risk["lower"].notna().any() for each in named if each.patient)
    key = page.say("key_patient", name=name, level=level) if known else name
    keys: dict[str, Any] = {key: mark}
    if any(each.patient is not None and len(each.patient.density) for each in named):
        keys[page.say("key_density", name=name)] = ridge
    return keys
