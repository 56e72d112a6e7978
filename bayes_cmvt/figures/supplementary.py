"""The supplementary figures of a run: their names, what each is drawn from, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from bayes_cmvt.errors import OptionError, nearest, quoted
from bayes_cmvt.figures.calibration import plot_calibration
from bayes_cmvt.figures.coefficients import plot_coefficients
from bayes_cmvt.figures.comparison import plot_compare_coefficients, plot_compare_risks
from bayes_cmvt.figures.decision_curve import plot_decision_curve
from bayes_cmvt.figures.diagnostics import plot_diagnostics
from bayes_cmvt.figures.flow import plot_flow
from bayes_cmvt.figures.instability import plot_instability
from bayes_cmvt.figures.nomogram import plot_nomogram
from bayes_cmvt.figures.predictive_checks import plot_predictive_checks
from bayes_cmvt.figures.roc import plot_roc
from bayes_cmvt.figures.selection import plot_selection_path, plot_selection_stability
from bayes_cmvt.figures.sensitivity import plot_sensitivity
from bayes_cmvt.figures.shrinkage import plot_shrinkage
from bayes_cmvt.figures.style import add_headline
from bayes_cmvt.nomogram_scales import Nomogram


@dataclass(frozen=True, eq=False)
class Material:
    """What the figures of a run are drawn from.

    Attributes
    ----------
    tables : mapping of str to DataFrame
        By name, as they stand in the run folder.
    thresholds : tuple of float
        Range that makes clinical sense.
    use : float or None
        Threshold at which classes are compared.
    penalties : mapping of str to float
        ``lambda_min, lambda_1se`` of the LASSO.
    nomogram : Nomogram or None
    """

    tables: Mapping[str, pd.DataFrame]
    thresholds: tuple[float, float]
    use: float | None = None
    penalties: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    nomogram: Nomogram | None = None

    def get(self, name: str) -> pd.DataFrame | None:
        """Table of a name, None where the run has none."""
        return self.tables.get(name)


type Draw = Callable[[Material, float | None], Figure]


@dataclass(frozen=True)
class Supplementary:
    """One supplementary figure.

    Attributes
    ----------
    name : str
        Of its files.
    title : str
        What it shows.
    needs : tuple of str
        Tables that it cannot be drawn without.
    also : tuple of str
        Tables that are drawn where they are there.
    stages : tuple of str
        That make these tables, besides ``sample``.
    draw : callable
        Takes the material and the width in mm (None: as the figure needs).
    """

    name: str
    title: str
    needs: tuple[str, ...]
    also: tuple[str, ...]
    stages: tuple[str, ...]
    draw: Draw

    @property
    def private(self) -> bool:
        """Whether it shows single patients."""
        return self.name.endswith(("_patient", "_patients"))


def _given(width: float | None) -> dict[str, Any]:
    """Width for figures that have one of their own."""
    return {} if width is None else {"width_mm": width}


def _coefficients(material: Material, width: float | None) -> Figure:
    tables = material.tables
    if not {"lasso_path", "lasso_cv"} <= set(tables):
        return plot_coefficients(tables["prior"], width_mm=width)
    own = tables["coefficients"].iloc[1:]
    scales = dict(zip(own["term"], own["std_sd"] / own["sd"], strict=True))
    return plot_coefficients(
        tables["prior"],
        tables["lasso_path"],
        tables["lasso_cv"],
        material.penalties,
        scales,
        width_mm=width,
    )


def _stability(material: Material, width: float | None) -> Figure:
    tables = material.tables
    size = int(tables["selection"].query("chosen")["size"].iloc[0])
    level = tables["selection_rules"]["interval"].iloc[0]
    words = {
        "projection": f"projection (size {size})",
        "interval": f"{level:.0%} interval excludes 0",
    }
    return plot_selection_stability(
        tables["selection_stability"],
        tables["selection_frequencies"],
        procedures=words,
        **_given(width),
    )


def _compared_risks(table: str) -> Draw:
    def draw(material: Material, width: float | None) -> Figure:
        return plot_compare_risks(
            material.tables[table], material.thresholds, material.use, width_mm=width
        )

    return draw


def _instability(table: str) -> Draw:
    def draw(material: Material, width: float | None) -> Figure:
        curves = material.tables["instability_calibration"]
        return plot_instability(material.tables[table], curves, width_mm=width)

    return draw


def _nomogram(material: Material, width: float | None) -> Figure:
    if material.nomogram is None:
        msg = "the nomogram cannot be drawn: the run has no nomogram stage"
        raise OptionError(msg)
    return plot_nomogram(material.nomogram, **_given(width))


FIGURES = (
    Supplementary(
        "flow",
        "From the rows of the file to the patients analysed",
        ("flow",),
        (),
        (),
        lambda material, width: plot_flow(material.tables["flow"], width_mm=width),
    ),
    Supplementary(
        "coefficients",
        "Prior and posterior of the odds ratios beside the LASSO",
        ("prior", "coefficients"),
        ("lasso_path", "lasso_cv"),
        ("baseline",),
        _coefficients,
    ),
    Supplementary(
        "shrinkage",
        "Shrinkage of each coefficient, effective number before and after the data",
        ("shrinkage", "effective_number_density", "effective_number"),
        (),
        ("supplement",),
        lambda material, width: plot_shrinkage(
            material.tables["shrinkage"],
            material.tables["effective_number_density"],
            material.tables["effective_number"],
            width_mm=width,
        ),
    ),
    Supplementary(
        "selection_path",
        "What is lost by a smaller model",
        ("selection",),
        (),
        ("select",),
        lambda material, width: plot_selection_path(material.tables["selection"], width_mm=width),
    ),
    Supplementary(
        "selection_stability",
        "How stable the selection is, beside that of the LASSO",
        ("selection", "selection_rules", "selection_stability", "selection_frequencies"),
        (),
        ("select",),
        _stability,
    ),
    Supplementary(
        "compare_coefficients",
        "Credible, bootstrap and Wald intervals of the coefficients",
        ("compare_coefficients",),
        (),
        ("compare",),
        lambda material, width: plot_compare_coefficients(
            material.tables["compare_coefficients"], width_mm=width
        ),
    ),
    Supplementary(
        "compare_risks",
        "Credible and bootstrap intervals of the risks, at least five patients a mark",
        ("compare_risk_marks",),
        (),
        ("compare",),
        _compared_risks("compare_risk_marks"),
    ),
    Supplementary(
        "compare_risks_patients",
        "Credible and bootstrap intervals of the risk of every patient",
        ("compare_risks",),
        (),
        ("compare",),
        _compared_risks("compare_risks"),
    ),
    Supplementary(
        "roc",
        "Sensitivity and specificity over all thresholds",
        ("roc", "performance"),
        (),
        ("baseline", "validate"),
        lambda material, width: plot_roc(
            material.tables["roc"], material.tables["performance"], width_mm=width
        ),
    ),
    Supplementary(
        "calibration",
        "Observed against predicted risks",
        ("calibration", "performance"),
        ("expected_calibration", "risk_histogram"),
        ("validate", "supplement"),
        lambda material, width: plot_calibration(
            material.tables["calibration"],
            material.get("expected_calibration"),
            material.get("risk_histogram"),
            material.tables["performance"],
            width_mm=width,
        ),
    ),
    Supplementary(
        "decision_curve",
        "Net benefit over the thresholds",
        ("net_benefit",),
        (),
        ("baseline", "validate"),
        lambda material, width: plot_decision_curve(
            material.tables["net_benefit"], material.use, width_mm=width
        ),
    ),
    Supplementary(
        "nomogram_horseshoe",
        "Nomogram with bands",
        ("nomogram", "nomogram_risk", "nomogram_risk_ticks", "nomogram_accuracy"),
        ("nomogram_scores",),
        ("nomogram-horseshoe",),
        _nomogram,
    ),
    Supplementary(
        "instability",
        "Instability of risks, classes and calibration, at least five patients a mark",
        ("instability", "instability_calibration"),
        (),
        ("compare",),
        _instability("instability"),
    ),
    Supplementary(
        "instability_patients",
        "Instability of the risk of every patient",
        ("instability_patients", "instability_calibration"),
        (),
        ("compare",),
        _instability("instability_patients"),
    ),
    Supplementary(
        "diagnostics",
        "Whether the draws can be trusted",
        ("chain_ranks", "chain_ess", "pareto_k"),
        ("chain_energy", "diagnostics"),
        ("supplement",),
        lambda material, width: plot_diagnostics(
            material.tables["chain_ranks"],
            material.tables["chain_ess"],
            material.tables["pareto_k"],
            material.get("chain_energy"),
            material.get("diagnostics"),
            width_mm=width,
        ),
    ),
    Supplementary(
        "predictive_checks",
        "What the model expects before and after the data, and what was observed",
        ("predictive_checks", "predictive_events"),
        (),
        ("supplement",),
        lambda material, width: plot_predictive_checks(
            material.tables["predictive_checks"],
            material.tables["predictive_events"],
            width_mm=width,
        ),
    ),
    Supplementary(
        "sensitivity",
        "How far another prior would move the results",
        ("sensitivity_power",),
        ("sensitivity_priors", "sensitivity_fits"),
        ("supplement",),
        lambda material, width: plot_sensitivity(
            material.tables["sensitivity_power"],
            material.get("sensitivity_priors"),
            material.get("sensitivity_fits"),
            width_mm=width,
        ),
    ),
)


def draw_figure(
    one: Supplementary,
    material: Material,
    *,
    notices: Sequence[str] = (),
    width_mm: float | None = None,
) -> Figure:
    """Draw a supplementary figure with what has to stand above it.

    Parameters
    ----------
    one : Supplementary
    material : Material
    notices : sequence of str
        Such as that the patients are synthetic, or the draws not to be trusted.
    width_mm : float, optional

    Returns
    -------
    Figure
    """
    if one.draw is _nomogram and material.nomogram is not None:  # it draws its notice itself
        told = replace(material.nomogram, notice=" ".join(notices))
        return one.draw(replace(material, nomogram=told), width_mm)
    figure = one.draw(material, width_mm)
    for notice in reversed(notices):
        add_headline(figure, notice)
    return figure


def figures_named(names: tuple[str, ...]) -> tuple[Supplementary, ...]:
    """Figures of these names in the order of the supplement; all where none is named.

    Raises
    ------
    OptionError
        Names that no figure has.
    """
    known = [figure.name for figure in FIGURES]
    unknown = [name for name in names if name not in known]
    if unknown:
        msg = "--only: no such figure"
        raise OptionError(
            msg,
            [f'found "{name}"{nearest(name, known)}; allowed: {quoted(known)}' for name in unknown],
        )
    return tuple(figure for figure in FIGURES if not names or figure.name in names)
