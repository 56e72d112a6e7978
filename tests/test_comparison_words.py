"""The plain words are right in constructed situations, and all their numbers are in the table."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from bayes_cmvt.comparison_words import comparison_paragraph
from bayes_cmvt.errors import OptionError

QUIET = {
    "alike": 1.25,
    "coefficients": 10.0,
    "bootstrap_only_zero": 0.0,
    "coefficient_widths": 10.0,
    "coefficient_width_ratio": 1.04,
    "credible_wider": 1.0,
    "bootstrap_wider": 2.0,
    "both_exclude_none": 3.0,
    "credible_excludes_none": 0.0,
    "bootstrap_excludes_none": 0.0,
    "neither_excludes_none": 7.0,
    "wald_excludes_none": 4.0,
}
RISKS = {
    "patients": 224.0,
    "risk_difference": 0.031,
    "largest_risk_difference": 0.27,
    "credible_risk_width": 0.21,
    "bootstrap_risk_width": 0.22,
    "wald_risk_width": 0.11,
    "risk_width_ratio": 0.98,
    "certain_alike": 101.0,
    "certain_otherwise": 0.0,
    "certain_credible": 12.0,
    "certain_bootstrap": 9.0,
    "uncertain_both": 102.0,
    "credible_auc": 0.81,
    "credible_auc_lower": 0.75,
    "credible_auc_upper": 0.87,
    "bootstrap_auc": 0.82,
    "bootstrap_auc_lower": 0.74,
    "bootstrap_auc_upper": 0.88,
}


def agreement(**changed: float) -> pd.DataFrame:
    rows = [(name, "", changed.get(name, value)) for name, value in QUIET.items()]
    rows += [(name, "development", changed.get(name, value)) for name, value in RISKS.items()]
    return pd.DataFrame(rows, columns=["quantity", "set", "value"]).assign(interval=0.95)


SITUATIONS = {
    "agree": {},
    "bootstrap wider": {
        "coefficient_width_ratio": 0.55,
        "risk_width_ratio": 0.6,
        "credible_excludes_none": 2.0,
        "neither_excludes_none": 5.0,
    },
    "credible wider": {
        "coefficient_width_ratio": 1.9,
        "risk_width_ratio": 1.5,
        "bootstrap_excludes_none": 4.0,
        "neither_excludes_none": 3.0,
    },
    "no effects": {
        "both_exclude_none": 0.0,
        "neither_excludes_none": 10.0,
        "bootstrap_only_zero": 6.0,
        "coefficient_widths": 4.0,
    },
}
SAID = {
    "agree": (
        *("On the effects the two agree", "about equally wide", "the widths are alike"),
        *("两者一致", "宽度相近"),
    ),
    "bootstrap wider": (
        *("On the effects the two differ", "the credible one alone for 2"),
        *("the bootstrap interval of a coefficient is the wider one",),
        *("For the risks of patients the bootstrap interval is the wider one",),
        *("两者不一致", "自助法区间通常较宽", "风险的自助法区间较宽"),
    ),
    "credible wider": (
        *("On the effects the two differ", "the bootstrap one alone for 4"),
        *("the credible interval of a coefficient is the wider one",),
        *("For the risks of patients the credible interval is the wider one",),
        *("两者不一致", "可信区间通常较宽", "风险的可信区间较宽"),
    ),
    "no effects": (
        *("Neither kind of interval shows an effect", "leave it out for 4", "single point 0"),
        *("两种区间均未显示效应",),
    ),
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
        if words != starts[situation]:
            assert words not in spoken, other


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_number_is_in_the_table_at_its_printed_precision(situation, language):
    table = agreement(**SITUATIONS[situation])
    for sentence in comparison_paragraph(table, language=language):
        told = sentence.replace("95 %", "").replace("95%", "").replace("point 0", "")
        for number in re.findall(r"\d+(?:\.\d+)?", told.replace("只是 0 这", "")):
            digits = len(number.partition(".")[2])
            printed = {f"{value:.{digits}f}" for value in table["value"].abs()}
            assert number in printed, (number, sentence)


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
