"""What a synthetic cohort assumes, in plain words, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bayes_cmvt.assumed_cohort import AssumedCohort as Assumed
from bayes_cmvt.assumed_cohort import Formula
from bayes_cmvt.reconstruction.latent import Drawn, Floats
from bayes_cmvt.reconstruction.scenario import AssumedSet
from bayes_cmvt.reconstruction.synthetic_cohort import Assumptions, Reconstruction
from bayes_cmvt.schema import Continuous, level_text

TUNED = {"median": "median", "sd": "spread (SD)", "shares": "shares"}
SYNTHETIC = (
    "**SYNTHETIC: no patient is in this table.** It was computed from printed results and from "
    "the assumptions below, so that it agrees with the print. It is for practice and for seeing "
    "what the print implies; it is no evidence about patients."
)
NO_OPTIMISM = (
    "The printed odds ratios are those of this cohort by construction, true by definition. It "
    "therefore shows no optimism: a model that is validated or corrected here (bootstrap, "
    "cross-validation, validation set) looks better than it would in patients."
)


def assumptions_text(made: Reconstruction) -> str:
    """Everything that a synthetic cohort assumes.

    Parameters
    ----------
    made : Reconstruction

    Returns
    -------
    str
        Markdown; its first word is SYNTHETIC.
    """
    study = made.study
    parts = [
        f"SYNTHETIC cohort for study {study.name}: what it assumes",
        "=" * 50,
        "",
        SYNTHETIC,
        "",
        NO_OPTIMISM,
        "",
        *_agreement_lines(made),
        "",
        "## Events",
        "",
        *_scenario_lines(made),
        "",
        "## Quantities",
        "",
        *_quantity_lines(made),
        "",
        "## Correlations",
        "",
        *_correlation_lines(made),
        "",
        "## What was adjusted to the print",
        "",
        *_adjusted_lines(made),
        "",
        "## How it was made",
        "",
        *_origin_lines(made),
        "",
    ]
    return "\n".join(parts)


def _agreement_lines(made: Reconstruction) -> Iterator[str]:
    targeted = int(made.agreement["agrees"].notna().sum())
    if made.agrees:
        yield f"All {targeted} targets are met: see the agreement table."
    else:
        yield f"**{len(made.missed)} of {targeted} targets are missed**: {'; '.join(made.missed)}."


def _scenario_lines(made: Reconstruction) -> Iterator[str]:
    for one in made.assumptions.scenario.sets:
        share = _percent(one.events / one.n)
        yield f"- {one.set}: {one.events} events among {one.n} patients ({share}){_classified(one)}"
    if made.study.split is None and made.population.table.n_validation:
        yield "- validation patients are left out: the study declares no [split] column"
    yield "- where the print does not state the number of events, it is one of several that fit it"
    if made.assumptions.scenario.validation is not None:
        yield "- validation patients come from the same population as development patients"
        if made.assumptions.scenario.development.positive is not None:
            yield "- one threshold for both sets, with as many above it as the print implies"


def _classified(one: AssumedSet) -> str:
    if one.true_positive is None or one.true_negative is None:
        return ""
    how = {
        "printed": "as sensitivity and specificity are printed",
        "swapped": "as printed if the labels sensitivity and specificity were swapped",
    }[one.labels]
    return (
        f"; at one threshold {one.true_positive} of {one.events} events and {one.true_negative} of "
        f"{one.n - one.events} others are classified right, {how}"
    )


def _quantity_lines(made: Reconstruction) -> Iterator[str]:
    assumed = made.study.reconstruction or Assumed()
    marginals = (*assumed.marginals, *assumed.quantities)
    notes = {one.name: one.note for one in marginals if one.note}
    declared = {one.name for one in marginals}
    yield "Distributions before anything was adjusted. Units that are not stated stay unknown."
    yield ""
    for one in made.population.drawn:
        origin = "" if one.name in declared else " (the package's default: the study declares none)"
        note = f" {notes[one.name]}" if one.name in notes else ""
        yield f"- {one.name}: {_distribution(made, one)}{origin}.{note}"
    solved = {formula.name for formula in made.population.solved.values()}
    for formula in made.population.formulas:
        yield f"- {formula.name} = {_formula(formula, solved, made)}"
    if made.assumptions.spread:
        changed = ", ".join(f"{k} × {v:.2f}" for k, v in made.assumptions.spread.items())
        yield f"- SDs of this copy, against those of the study: {changed}"


def _distribution(made: Reconstruction, one: Drawn) -> str:
    if one.kind == "normal":
        return f"normal, mean {one.median:g}, SD {one.sd:.3g}"
    if one.kind == "lognormal":
        return f"log-normal, median {one.median:g}, SD of the logarithm {one.sd:.3g}"
    predictor = next((each for each in made.study.predictors if each.name == one.name), None)
    names = [f"{code:g}" for code in one.codes]
    if predictor is not None and not isinstance(predictor, Continuous):
        names = [level_text(level) for level in predictor.levels]
    pairs = zip(names, one.shares, strict=True)
    return ", ".join(f"{name}: {_percent(share)}" for name, share in pairs)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _formula(formula: Formula, solved: set[str], made: Reconstruction) -> str:
    text = " × ".join(formula.numerator)
    if formula.denominator:
        text += " / " + " × ".join(formula.denominator)
    text += f", rounded ({formula.decimals} decimals); holds exactly for the rounded factors"
    if formula.name in solved:
        factor = next(name for name, one in made.population.solved.items() if one is formula)
        text += f" ({factor} follows from a drawn {formula.name})"
    return text


def _correlation_lines(made: Reconstruction) -> Iterator[str]:
    rate = made.assumptions.correlation
    printed = [one.term for one in made.population.printed if one.quantity is not None]
    yield (
        f"- {rate:.2f} between the latent normal variables of every two printed predictors "
        f"({', '.join(printed)}), each turned so that more of it means a higher risk"
    )
    for pair in (made.study.reconstruction or Assumed()).correlations:
        yield f"- {pair.r:g} between {pair.between[0]} and {pair.between[1]}"
    yield "- 0 between all others"
    if made.population.repaired:
        yield (
            "- together these are impossible; the nearest possible ones differ by up to "
            f"{made.population.repaired:.2f}"
        )


def _adjusted_lines(made: Reconstruction) -> Iterator[str]:
    for name, (what, before, after) in made.tuned.items():
        words = f"{TUNED[what]} tuned from {before} to {after}"
        yield f"- {name}: {words}, so that standard errors and AUC are as printed"
    for name, by in made.moved.items():
        size = _move(made, name, by)
        yield f"- {name}: single values moved by {size}, so that estimates are exact"
    shifted = {name: by for name, by in made.shifted.items() if by > 0}
    if shifted:
        words = ", ".join(f"{name} {by:.2f}" for name, by in shifted.items())
        yield (
            "- other columns shifted along the residuals of the development patients, so that the "
            "LASSO keeps what the source's kept and drops the rest; largest shift of a patient in "
            f"latent SDs: {words}"
        )
    yield (
        "- outcomes drawn from the risks, then exchanged between patients until AUC, its limits "
        "and the patients classified right are as printed"
    )


def _move(made: Reconstruction, name: str, by: Floats) -> str:
    size = np.abs(by)
    middle, largest = float(np.median(size)), float(size.max(initial=0.0))
    if made.population.quantity(name).kind == "normal":
        return f"{middle:.3f} SD (median) and {largest:.2f} SD at most"
    return f"{_percent(np.expm1(middle))} (median) and {_percent(np.expm1(largest))} at most"


def _origin_lines(made: Reconstruction) -> Iterator[str]:
    yield (
        f"- seed {made.seed}; attempt {made.attempts} agreed"
        if made.agrees
        else (f"- seed {made.seed}; the closest of the attempts is attempt {made.attempts}")
    )
    yield f"- attempts rejected on the way: {len(made.rejected)}"
    for number, reasons in enumerate(made.rejected, start=1):
        yield f"  - no. {number}: {'; '.join(reasons)}"
    n = len(made.patients)
    yield f"- {n} rows, {len(made.study.predictors)} predictors; study file {made.study.source}"


def variation_table(copies: list[Assumptions]) -> pd.DataFrame:
    """What each copy assumes, one row each: ``copy, events_development, events_validation, …``."""
    rows = []
    for number, one in enumerate(copies, start=1):
        validation = one.scenario.validation
        sizes = np.abs(np.log(list(one.spread.values()))) if one.spread else np.zeros(1)
        rows.append(
            {
                "copy": number,
                "events_development": one.scenario.development.events,
                "events_validation": None if validation is None else validation.events,
                "correlation": one.correlation,
                "spread_changed_at_most": float(np.expm1(sizes.max())),
            }
        )
    return pd.DataFrame(rows)
