"""The plain words are right in constructed situations, and all their numbers are in the table."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from bayes_cmvt.comparison_words import comparison_paragraph
from bayes_cmvt.errors import OptionError

QUIET = {
    "alike": 1.25,
    "coefficients": 12.0,
    "hardly_chosen": 0.0,
    "coefficient_widths": 10.0,
    "coefficient_width_ratio": 1.04,
    "credible_wider": 1.0,
    "bootstrap_wider": 2.0,
    "alike_widths": 7.0,
    "both_exclude_none": 3.0,
    "credible_excludes_none": 0.0,
    "bootstrap_excludes_none": 0.0,
    "one_excludes_none": 0.0,
    "neither_excludes_none": 9.0,
    "opposed_effects": 0.0,
    "wald_excludes_none": 4.0,
    "within_simulation_error": 0.0,
    "held_by_selection": 0.0,
    "threshold_1": 0.05,
    "threshold_2": 0.6,
}
RISKS = {
    "patients": 224.0,
    "risk_difference": 0.031,
    "risk_difference_95": 0.27,
    "credible_risk_width": 0.21,
    "bootstrap_risk_width": 0.22,
    "wald_risk_width": 0.11,
    "risk_width_ratio": 0.98,
    "certain_alike": 101.0,
    "certain_otherwise": 0.0,
    "certain_credible": 12.0,
    "certain_bootstrap": 9.0,
    "uncertain_both": 102.0,
    "between_thresholds": 55.0,
    "credible_auc": 0.81,
    "credible_auc_lower": 0.75,
    "credible_auc_upper": 0.87,
    "bootstrap_auc": 0.82,
    "bootstrap_auc_lower": 0.74,
    "bootstrap_auc_upper": 0.88,
    "corrected_auc": 0.79,
    "corrected_auc_lower": 0.71,
    "corrected_auc_upper": 0.86,
}


def agreement(**changed: float) -> pd.DataFrame:
    rows = [(name, "", changed.get(name, value)) for name, value in QUIET.items()]
    rows += [(name, "development", changed.get(name, value)) for name, value in RISKS.items()]
    return pd.DataFrame(rows, columns=["quantity", "set", "value"]).assign(interval=0.95)


SITUATIONS = {
    "agree": {},
    "bootstrap wider": {
        "coefficient_width_ratio": 0.55,
        "bootstrap_wider": 8.0,
        "alike_widths": 1.0,
        "risk_width_ratio": 0.6,
        "credible_excludes_none": 2.0,
        "one_excludes_none": 2.0,
        "neither_excludes_none": 7.0,
    },
    "credible wider": {
        "coefficient_width_ratio": 1.9,
        "credible_wider": 8.0,
        "bootstrap_wider": 0.0,
        "alike_widths": 2.0,
        "risk_width_ratio": 1.5,
        "bootstrap_excludes_none": 4.0,
        "one_excludes_none": 4.0,
        "neither_excludes_none": 5.0,
    },
    "no effects": {
        "both_exclude_none": 0.0,
        "neither_excludes_none": 12.0,
        "hardly_chosen": 6.0,
        "within_simulation_error": 1.0,
        "held_by_selection": 8.0,
    },
    "opposed": {"opposed_effects": 2.0},
}
SAID = {
    "agree": (
        *("On the effects the two agree", "about equally wide", "the widths are alike"),
        *("两者一致", "宽度相近"),
    ),
    "bootstrap wider": (
        *("On the effects the two differ for 2 of 12", "the credible one alone for 2"),
        *("As a rule the bootstrap interval of a coefficient is the wider one",),
        *("For the risks of patients the bootstrap interval is the wider one",),
        *("两者有 2 个不一致", "自助法区间通常较宽", "风险的自助法区间较宽"),
    ),
    "credible wider": (
        *("On the effects the two differ for 4 of 12", "the bootstrap one alone for 4"),
        *("As a rule the credible interval of a coefficient is the wider one",),
        *("For the risks of patients the credible interval is the wider one",),
        *("两者有 4 个不一致", "可信区间通常较宽", "风险的可信区间较宽"),
    ),
    "no effects": (
        *("Neither kind of interval shows an effect", "no proof that there is none"),
        *("out for 4", "single point 0", "may move it across", "leave the predictor out"),
        *("两种区间均未显示效应",),
    ),
    "opposed": ("contradict each other: for 2 of 12", "相互矛盾"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_each_situation_is_told_as_it_is_and_no_other(situation):
    table = agreement(**SITUATIONS[situation])
    spoken = " ".join(
        sentence
        for language in ("en", "zh")
        for sentence in comparison_paragraph(table, language=language)
    )
    for words in SAID[situation]:
        assert words in spoken, words
    starts = {other: SAID[other][0] for other in SAID}
    for other, words in starts.items():
        if other != situation:
            assert words not in spoken, other


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_number_is_in_the_table_at_its_printed_precision(situation, language):
    table = agreement(**SITUATIONS[situation])
    for sentence in comparison_paragraph(table, language=language):
        told = sentence.replace("95 %", "").replace("95%", "").replace("point 0", "")
        for number in re.findall(r"\d+(?:\.\d+)?", told.replace("近乎 0 这", "")):
            digits = len(number.partition(".")[2])
            printed = {f"{value:.{digits}f}" for value in table["value"].abs()}
            assert number in printed, (number, sentence)


def test_widths_that_differ_both_ways_follow_no_rule():
    """Nine wider and nine narrower have a median ratio of 1, and are not about equally wide."""
    table = agreement(credible_wider=5.0, bootstrap_wider=5.0, alike_widths=0.0)
    spoken = " ".join(comparison_paragraph(table))
    assert "Neither interval of a coefficient is the wider one as a rule" in spoken
    assert "equally wide" not in spoken


def test_new_patients_are_not_said_to_be_cross_validated():
    rows = agreement().replace({"set": {"development": "validation"}})
    spoken = " ".join(comparison_paragraph(rows, called="validation"))
    assert "On these patients, new to both, the AUC" in spoken
    assert "Cross-validated" not in spoken


def test_risks_without_a_comparable_width_are_not_called_alike():
    table = agreement(risk_width_ratio=float("nan"))
    assert not any("risks of patients" in one for one in comparison_paragraph(table))


def test_one_threshold_has_no_between():
    table = agreement()
    spoken = " ".join(comparison_paragraph(table[table["quantity"] != "threshold_2"]))
    assert "between the thresholds" not in spoken
    assert "cut at 0.05:" in spoken


def test_what_neither_can_tell_is_always_said_last():
    for situation in SITUATIONS.values():
        *_, last = comparison_paragraph(agreement(**situation))
        assert "neither tells" in last
        assert "no such guarantee once predictors were selected" in last


def test_a_run_without_wald_performance_or_a_bootstrap_width_has_fewer_sentences():
    table = agreement()
    bare = table[~table["quantity"].str.contains("auc|wald")]
    spoken = comparison_paragraph(bare)
    assert not any("AUC" in one for one in spoken)
    assert not any("Wald" in one for one in spoken)


def test_another_language_and_an_empty_table_are_refused():
    with pytest.raises(OptionError, match='allowed: "en", "zh"'):
        comparison_paragraph(agreement(), language="de")
    with pytest.raises(OptionError, match="no rows, or no columns"):
        comparison_paragraph(agreement().iloc[:0])
