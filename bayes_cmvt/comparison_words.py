"""Where two kinds of intervals agree, where they differ, what neither can tell: in plain words.

Every number stands in the table ``compare_agreement``; the words are chosen by the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import pandas as pd

from bayes_cmvt.agreement_numbers import Agreement, read_agreement
from bayes_cmvt.comparison_words_zh import CHINESE
from bayes_cmvt.errors import OptionError

DEVELOPMENT, VALIDATION = "development", "validation"

type Language = Literal["en", "zh"]


def comparison_paragraph(
    agreement: pd.DataFrame, *, language: Language = "en", called: str = DEVELOPMENT
) -> tuple[str, ...]:
    """Say what the comparison of credible and bootstrap intervals has found.

    Parameters
    ----------
    agreement : DataFrame
        Table ``compare_agreement``.
    language : {"en", "zh"}
    called : str
        Set of patients whose risks are spoken of.

    Returns
    -------
    tuple of str
        Sentences, one idea each: effects, widths, risks, classes, discrimination, and what neither
        kind of interval can tell.

    Raises
    ------
    OptionError
        Another language, or a table without the columns.
    """
    if language not in _SPOKEN:
        msg = f'language: found {language!r}; allowed: "en", "zh"'
        raise OptionError(msg)
    spoken = read_agreement(agreement)
    return tuple(filter(None, (say(spoken, called) for say in _SPOKEN[language])))


def _effects(found: Agreement, _: str) -> str:
    coefficients, apart = found.count("coefficients"), found.count("one_excludes_none")
    counts = (
        f"both intervals leave no effect out for {found.count('both_exclude_none')}, the credible "
        f"one alone for {found.count('credible_excludes_none')}, the bootstrap one alone for "
        f"{found.count('bootstrap_excludes_none')}, and neither for "
        f"{found.count('neither_excludes_none')}."
    )
    start = {
        "none": "Neither kind of interval shows an effect: the credible and the bootstrap interval "
        f"of each of the {coefficients} coefficients hold the value of no effect, which is no "
        "proof that there is none.",
        "alike": f"On the effects the two agree: of {coefficients} coefficients {counts}",
        "differ": f"On the effects the two differ for {apart} of {coefficients} coefficients: "
        f"{counts}",
        "opposed": "On some effects the two contradict each other: for "
        f"{found.count('opposed_effects')} of {coefficients} coefficients they lie on opposite "
        f"sides of no effect. In all {counts}",
    }[found.effects]
    return " ".join([start, *found.counted(_NOTES)])


_NOTES: Mapping[str, str] = MappingProxyType(
    {
        "within_simulation_error": "For {} a credible limit is so close to no effect that another "
        "run of the sampler may move it across.",
        "held_by_selection": "For {} the bootstrap interval holds no effect because enough "
        "resamples leave the predictor out, whatever the others say.",
        "wald_excludes_none": "Wald's intervals of the final model, which take its selection as "
        "certain, leave no effect out for {}.",
    }
)


def _widths(found: Agreement, _: str) -> str:
    if not found.has("coefficient_width_ratio"):
        return _single_points(found)
    start = {
        "alike": "As a rule the two intervals of a coefficient are about equally wide",
        "credible": "As a rule the credible interval of a coefficient is the wider one",
        "bootstrap": "As a rule the bootstrap interval of a coefficient is the wider one",
        "no rule": "Neither interval of a coefficient is the wider one as a rule",
    }[found.coefficient_widths]
    return (
        f"{start} (per SD, log-odds; {found.count('coefficient_widths')} can be compared): widths "
        f"are within a factor of {found.value('alike'):g} for {found.count('alike_widths')}, the "
        f"credible interval is wider for {found.count('credible_wider')}, the bootstrap interval "
        f"for {found.count('bootstrap_wider')}, and the median ratio of credible to bootstrap is "
        f"{found.decimal('coefficient_width_ratio')}. {_single_points(found)}"
    ).strip()


def _single_points(found: Agreement) -> str:
    """What an interval next to without width means; nothing where there is none."""
    if not found.value("hardly_chosen") > 0:
        return ""
    return (
        "Coefficients that the workflow hardly ever chooses, so that their bootstrap interval is "
        f"next to the single point 0: {found.count('hardly_chosen')}. That says how the selection "
        "behaves, not that the effect is known."
    )


def _risks(found: Agreement, called: str) -> str:
    if not found.has("risk_difference", called) or not found.has("risk_width_ratio", called):
        return ""
    start = {
        "alike": "For the risks of patients the widths are alike",
        "credible": "For the risks of patients the credible interval is the wider one",
        "bootstrap": "For the risks of patients the bootstrap interval is the wider one",
    }[found.widths("risk_width_ratio", called)]
    widths = ", ".join(
        f"{found.decimal(f'{name}_risk_width', called)} {word}"
        for name, word in (
            ("credible", "(credible)"),
            ("bootstrap", "(bootstrap)"),
            ("wald", "(Wald)"),
        )
        if found.has(f"{name}_risk_width", called)
    )
    return (
        f"{start}: at the median of {found.count('patients', called)} {called} patients the "
        f"credible one is {found.decimal('risk_width_ratio', called)} times as wide as the "
        f"bootstrap one; the median widths are {widths}. The two risks of a patient differ by "
        f"{found.decimal('risk_difference', called)} on average, and by more than "
        f"{found.decimal('risk_difference_95', called)} for one patient in twenty."
    )


def _classes(found: Agreement, called: str) -> str:
    if not found.has("uncertain_both", called) or not found.thresholds:
        return ""
    other = found.value("certain_otherwise", called)
    between = (
        f", {found.count('between_thresholds', called)} of them between the thresholds, where the "
        "decision depends on which one is used"
        if len(found.thresholds) > 1
        else ""
    )
    differing = (
        f", under both but in different classes for {found.count('certain_otherwise', called)}"
        if other > 0
        else ""
    )
    return (
        f"Classes of risk, cut at {' and '.join(found.thresholds)}: the interval lies in one class "
        f"under both kinds for {found.count('certain_alike', called)} patients{between}"
        f"{differing}, under the credible interval alone for "
        f"{found.count('certain_credible', called)}, under the bootstrap interval alone for "
        f"{found.count('certain_bootstrap', called)}, and under neither for "
        f"{found.count('uncertain_both', called)}."
    )


def _discrimination(found: Agreement, called: str) -> str:
    sentences = []
    if all(found.has(f"{name}_auc", called) for name in ("credible", "bootstrap")):
        how = "Cross-validated" if called == DEVELOPMENT else "On these patients, new to both"
        sentences.append(
            f"{how}, the AUC is {found.limits('credible_auc', called, 'to')} for the posterior and "
            f"{found.limits('bootstrap_auc', called, 'to')} for the workflow."
        )
    if found.has("corrected_auc", called):
        sentences.append(
            "Corrected for optimism with the whole workflow repeated, that of the workflow is "
            f"{found.limits('corrected_auc', called, 'to')}."
        )
    return " ".join(sentences)


def _new_patients(found: Agreement, _: str) -> str:
    if not found.has("auc_difference", VALIDATION):
        return ""
    difference = found.limits("auc_difference", VALIDATION, "to")
    return (
        f"On the {found.count('patients', VALIDATION)} validation patients the AUC of the "
        f"posterior less that of the workflow is {difference}."
    )


def _untold(found: Agreement, _: str) -> str:
    level = f"{100 * found.interval:g} %"
    return (
        "Neither width is a merit: a narrow interval may miss the truth. The credible interval "
        f"holds the truth in {level} of cases on average over what its prior expects, the "
        "bootstrap interval has no such guarantee once predictors were selected, and neither is a "
        "promise for a single patient. Both come from the same patients and candidates: neither "
        "tells whether other patients resemble them, whether a predictor is a cause, or what was "
        "not measured."
    )


_SPOKEN: Mapping[str, tuple[Callable[[Agreement, str], str], ...]] = MappingProxyType(
    {
        "en": (_effects, _widths, _risks, _classes, _discrimination, _new_patients, _untold),
        "zh": CHINESE,
    }
)
