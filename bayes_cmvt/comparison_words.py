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
    coefficients, both = found.count("coefficients"), found.count("both_exclude_none")
    if found.effects == "none":
        sentence = (
            "Neither kind of interval shows an effect: the credible and the bootstrap interval of "
            f"each of the {coefficients} coefficients hold the value of no effect."
        )
        if found.value("wald_excludes_none"):
            sentence += (
                f" Wald's intervals of the final model, which take its selection as certain, leave "
                f"it out for {found.count('wald_excludes_none')}."
            )
        return sentence
    start = (
        "On the effects the two agree"
        if found.effects == "alike"
        else "On the effects the two differ"
    )
    return (
        f"{start}: of {coefficients} coefficients both intervals leave no effect out for {both}, "
        f"the credible one alone for {found.count('credible_excludes_none')}, the bootstrap one "
        f"alone for {found.count('bootstrap_excludes_none')}, and neither for "
        f"{found.count('neither_excludes_none')}."
    )


def _widths(found: Agreement, _: str) -> str:
    if not found.has("coefficient_width_ratio"):
        return _single_points(found)
    start = {
        "alike": "As a rule the two intervals of a coefficient are about equally wide",
        "credible": "As a rule the credible interval of a coefficient is the wider one",
        "bootstrap": "As a rule the bootstrap interval of a coefficient is the wider one",
    }[found.widths("coefficient_width_ratio")]
    return (
        f"{start}: at the median of the {found.count('coefficient_widths')} whose widths can be "
        f"compared, the credible interval is {found.decimal('coefficient_width_ratio')} times as "
        f"wide as the bootstrap interval. It is more than {found.value('alike'):g} times as wide "
        f"for {found.count('credible_wider')}, the bootstrap interval for "
        f"{found.count('bootstrap_wider')}. {_single_points(found)}"
    ).strip()


def _single_points(found: Agreement) -> str:
    """What an interval without width means; nothing where there is none."""
    if not found.value("bootstrap_only_zero"):
        return ""
    return (
        "Coefficients whose bootstrap interval is the single point 0, because the workflow hardly "
        f"ever selects them: {found.count('bootstrap_only_zero')}. That says how the selection "
        "behaves, not that the effect is known."
    )


def _risks(found: Agreement, called: str) -> str:
    if not found.has("risk_difference", called):
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
        f"{start}: the median widths are {widths}. The two risks of a patient differ by "
        f"{found.decimal('risk_difference', called)} on average and by "
        f"{found.decimal('largest_risk_difference', called)} at most, among "
        f"{found.count('patients', called)} {called} patients."
    )


def _classes(found: Agreement, called: str) -> str:
    if not found.has("uncertain_both", called):
        return ""
    return (
        "The class of risk, by the study's thresholds, is certain under both for "
        f"{found.count('certain_alike', called)} patients (for "
        f"{found.count('certain_otherwise', called)} more under both, but not the same), under the "
        f"credible interval alone for {found.count('certain_credible', called)}, under the "
        f"bootstrap interval alone for {found.count('certain_bootstrap', called)}, and uncertain "
        f"under both for {found.count('uncertain_both', called)}."
    )


def _discrimination(found: Agreement, called: str) -> str:
    if not all(found.has(f"{name}_auc", called) for name in ("credible", "bootstrap")):
        return ""
    return (
        "The AUC, corrected for optimism, is "
        f"{found.limits('credible_auc', called, 'to')} for the posterior and "
        f"{found.limits('bootstrap_auc', called, 'to')} for the workflow."
    )


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
