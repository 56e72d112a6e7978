"""Figures: a table in, a Figure out. They compute nothing, save nothing, touch no global style.

Every figure is drawn for a journal: 85 or 175 mm wide, letters of 7 and 8 points, readable without
colour. ``save_bytes(figure, "pdf")`` gives the same bytes each time.
"""

from __future__ import annotations

from bayes_cmvt.figures.calibration import plot_calibration
from bayes_cmvt.figures.coefficients import plot_coefficients
from bayes_cmvt.figures.comparison import plot_compare_coefficients, plot_compare_risks
from bayes_cmvt.figures.coverage import plot_coverage
from bayes_cmvt.figures.coverage_coefficients import plot_coverage_coefficients
from bayes_cmvt.figures.decision_curve import plot_decision_curve
from bayes_cmvt.figures.diagnostics import plot_diagnostics
from bayes_cmvt.figures.flow import plot_flow
from bayes_cmvt.figures.instability import plot_instability
from bayes_cmvt.figures.nomogram import plot_nomogram
from bayes_cmvt.figures.nomogram_words import untold_labels
from bayes_cmvt.figures.plug_in import plot_plug_in
from bayes_cmvt.figures.predictive_checks import plot_predictive_checks
from bayes_cmvt.figures.published import plot_published, plot_responses, plot_scenarios
from bayes_cmvt.figures.replicated_selection import plot_replicated_selection
from bayes_cmvt.figures.roc import plot_roc
from bayes_cmvt.figures.sbc import plot_sbc
from bayes_cmvt.figures.selection import plot_selection_path, plot_selection_stability
from bayes_cmvt.figures.sensitivity import plot_sensitivity
from bayes_cmvt.figures.shrinkage import plot_shrinkage
from bayes_cmvt.figures.style import add_headline, save_bytes, without_glyphs

__all__ = [
    "add_headline",
    "plot_calibration",
    "plot_coefficients",
    "plot_compare_coefficients",
    "plot_compare_risks",
    "plot_coverage",
    "plot_coverage_coefficients",
    "plot_decision_curve",
    "plot_diagnostics",
    "plot_flow",
    "plot_instability",
    "plot_nomogram",
    "plot_plug_in",
    "plot_predictive_checks",
    "plot_published",
    "plot_replicated_selection",
    "plot_responses",
    "plot_roc",
    "plot_sbc",
    "plot_scenarios",
    "plot_selection_path",
    "plot_selection_stability",
    "plot_sensitivity",
    "plot_shrinkage",
    "save_bytes",
    "untold_labels",
    "without_glyphs",
]
