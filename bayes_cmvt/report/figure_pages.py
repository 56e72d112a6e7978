"""Figures of a report: which stand where, and the tables that each was drawn from."""

from __future__ import annotations

from bayes_cmvt.report.document import Block, Content, Given, Heading, Paragraph, Picture, given
from bayes_cmvt.report.facts import say
from bayes_cmvt.report.material import FigureImage, Material
from bayes_cmvt.report.report_words import Facts

DRAWN_FROM: dict[str, tuple[str, ...]] = {
    "flow": ("flow",),
    "coefficients": ("prior", "coefficients", "lasso_path", "lasso_cv"),
    "shrinkage": ("shrinkage", "effective_number_density", "effective_number"),
    "selection_path": ("selection",),
    "selection_stability": (
        "selection",
        "selection_rules",
        "selection_stability",
        "selection_frequencies",
    ),
    "compare_coefficients": ("compare_coefficients",),
    "compare_risks": ("compare_risk_marks",),
    "roc": ("roc", "performance"),
    "calibration": ("calibration", "performance", "expected_calibration", "risk_histogram"),
    "decision_curve": ("net_benefit",),
    "nomogram": (
        "nomogram",
        "nomogram_risk",
        "nomogram_risk_ticks",
        "nomogram_accuracy",
        "nomogram_scores",
    ),
    "instability": ("instability", "instability_calibration"),
    "diagnostics": ("chain_ranks", "chain_ess", "pareto_k", "chain_energy", "diagnostics"),
    "predictive_checks": ("predictive_checks", "predictive_events"),
    "sensitivity": ("sensitivity_power", "sensitivity_priors", "sensitivity_fits"),
}
ELSEWHERE = ("diagnostics", "predictive_checks", "sensitivity")  # figures of the checks


def figure_part(material: Material, facts: Facts) -> list[Block]:
    """Return all figures but those of the checks.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    heading = Heading(2, material.words["figures"], "figures")
    order = [one for one in material.run.figures if kind_of(one) not in ELSEWHERE]
    if not order:
        found = say(material, "no_figures", facts)
        return [heading, Paragraph(found or (), "missing")]
    return [heading, *(picture(material, facts, name) for name in order)]


def pictures_of(material: Material, facts: Facts, kind: str) -> list[Block]:
    """Return the figures of one kind, if there are any."""
    return [
        picture(material, facts, name) for name in material.run.figures if kind_of(name) == kind
    ]


def kind_of(name: str) -> str:
    """Return what a figure shows, whatever model it shows it of.

    Examples
    --------
    >>> kind_of("nomogram_horseshoe"), kind_of("selection_path"), kind_of("other")
    ('nomogram', 'selection_path', 'other')
    """
    fitting = [one for one in DRAWN_FROM if name == one or name.startswith(f"{one}_")]
    return max(fitting, key=len, default=name)


def picture(material: Material, facts: Facts, name: str) -> Picture:
    """Return one figure with its caption."""
    image: FigureImage = material.run.figures[name]
    kind = kind_of(name)
    told = say(material, f"f_{kind}", facts) if f"f_{kind}" in material.words else None
    caption: Content = told or (given(name),)
    sources = _sources(material, kind)
    end = material.words["caption_end"]
    drawn = f"{end}{material.words['drawn_from']} {sources}" if sources else ""
    return Picture(
        anchor=f"figure-{name.replace('_', '-')}",
        caption=(*caption, drawn) if drawn else caption,
        source=sources,
        alternative=_alternative(caption),
        content=image.content,
        media=image.media,
        png=image.png,
        width_mm=image.width_mm,
    )


def _sources(material: Material, kind: str) -> str:
    held = [one for one in DRAWN_FROM.get(kind, ()) if material.has(one)]
    return ", ".join(f"tables/{one}.csv" for one in held)


def _alternative(caption: Content) -> str:
    from bayes_cmvt.report.document import plain_text

    visible = tuple(one for one in caption if isinstance(one, str | Given) or hasattr(one, "text"))
    return plain_text(visible)
