"""Figures: a table in, a Figure out. They compute nothing, save nothing, touch no global style.

Every figure is drawn for a journal: 85 or 175 mm wide, letters of 7 and 8 points, readable without
colour. ``save_bytes(figure, "pdf")`` gives the same bytes each time.
"""

from __future__ import annotations

from bayes_cmvt.figures.nomogram import plot_nomogram
from bayes_cmvt.figures.nomogram_words import untold_labels
from bayes_cmvt.figures.published import plot_published, plot_responses, plot_scenarios
from bayes_cmvt.figures.selection import plot_selection_path, plot_selection_stability
from bayes_cmvt.figures.style import add_headline, save_bytes, without_glyphs

__all__ = [
    "add_headline",
    "plot_nomogram",
    "plot_published",
    "plot_responses",
    "plot_scenarios",
    "plot_selection_path",
    "plot_selection_stability",
    "save_bytes",
    "untold_labels",
    "without_glyphs",
]
