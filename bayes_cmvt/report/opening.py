"""The first page of a report: what to know before reading, and the summary in plain words."""

from __future__ import annotations

from bayes_cmvt.report.document import (
    Block,
    Bullets,
    Content,
    Heading,
    Inline,
    Paragraph,
    given,
)
from bayes_cmvt.report.facts import INSIDE, OTHERS, say, with_facts
from bayes_cmvt.report.material import Material, from_run, limits, matching
from bayes_cmvt.report.report_words import Facts
from bayes_cmvt.selection import within_noise
from bayes_cmvt.synthetic import is_synthetic

NAMED_AT_MOST = 8  # effects in the summary


def marks_of(material: Material) -> tuple[str, ...]:
    """Return what every printed page and every caption has to say; often nothing."""
    found = []
    if material.run.problems:
        found.append(material.words["untrusted_mark"])
    if is_synthetic(material.run.run.get("data", {}).get("file")):
        found.append(material.words["synthetic_mark"])
    return tuple(found)


def banners(material: Material, facts: Facts) -> list[Block]:
    """Return the notices above everything else.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    words, run = material.words, material.run
    blocks: list[Block] = []
    if run.problems:
        blocks.append(Paragraph(_untrusted(material), "untrusted"))
    if is_synthetic(run.run.get("data", {}).get("file")):
        blocks.append(Paragraph((words["synthetic_notice"],), "banner"))
    blocks += [Paragraph((given(one, 400),), "banner") for one in run.notes]
    opening = say(material, "opening", facts)
    return [*blocks, Paragraph(opening, "note")] if opening else blocks


def _untrusted(material: Material) -> Content:
    """That no number is to be relied on, and why, in one box."""
    found: list[Inline] = [material.words["untrusted_banner"]]
    for place, one in enumerate(material.run.problems):
        found += [material.words["list_comma"] if place else " ", given(one, 400)]
    return tuple(found)


def summary(material: Material, facts: Facts) -> list[Block]:
    """Return the summary: what it means, then the number, then where to look.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    words = material.words
    return [
        Heading(2, words["summary"], "summary"),
        *_told(material, facts, "asked", ["sum_asked_by", "sum_asked"]),
        *_told(material, facts, "studied", ["sum_patients"], ["sum_split"]),
        Heading(3, words["h_posterior"], "summary-posterior"),
        *_effects(material, facts),
        *_paragraphs(material, facts, ["sum_number"]),
        *_told(
            material,
            facts,
            "predicts",
            ["sum_auc", "sum_not_validated"],
            ["sum_slope"],
            ["sum_apparent"],
        ),
        Heading(3, words["h_comparison"], "summary-comparison"),
        *comparison(material, facts),
        *_told(
            material,
            facts,
            "smaller",
            [_smaller_key(material), "sum_not_selected"],
            ["sum_inside"] if facts.get("inside_elpd") else [],
            ["sum_recurs"],
        ),
        Heading(3, words["h_open"], "summary-open"),
        _open_questions(material, facts),
    ]


def comparison(material: Material, facts: Facts) -> list[Block]:
    """Return the paragraph in plain words, or the command that makes it."""
    if material.run.paragraph:
        return [Paragraph((given(one, 2000),), "comparison") for one in material.run.paragraph]
    return _paragraphs(material, facts, ["sum_not_compared"], tone_missing=True)


def _told(material: Material, facts: Facts, name: str, *choices: list[str]) -> list[Block]:
    """A heading of the summary with its paragraphs; of each choice the first that can be told."""
    told = [block for choice in choices for block in _paragraphs(material, facts, choice)]
    heading = Heading(3, material.words[f"h_{name}"], f"summary-{name}")
    return [heading, *told] if told else []


def _paragraphs(
    material: Material, facts: Facts, choice: list[str], *, tone_missing: bool = False
) -> list[Block]:
    for key in choice:
        found = say(material, key, facts)
        if found is not None:
            missing = tone_missing or key.startswith("sum_not_")
            return [Paragraph(found, "missing" if missing else "plain")]
    return []


def _effects(material: Material, facts: Facts) -> list[Block]:
    """Which effects have a direction, and the largest of them by name."""
    table = material.table("coefficients")
    if table is None:
        return []
    others = matching(table, OTHERS)
    clear = others[(others["odds_ratio_lower"] > 1) | (others["odds_ratio_upper"] < 1)]
    if clear.empty:
        return _paragraphs(material, facts, ["sum_no_effect"])
    named = clear.assign(size=clear["std_mean"].abs()).sort_values("size", ascending=False)
    listed = with_facts(facts, effects=_listed(material, named["term"].head(NAMED_AT_MOST)))
    told = _paragraphs(material, listed, ["sum_effects"])
    more = ["sum_more_effects"] if len(clear) > NAMED_AT_MOST else []
    return told + _paragraphs(material, facts, more)


def _listed(material: Material, terms: object) -> Content:
    """Effects by name with their odds ratios, one after the other."""
    table = material.run.tables["coefficients"].set_index("term")
    found: list[Inline] = []
    for term in list(terms):  # type: ignore[call-overload]
        columns = ("odds_ratio", "odds_ratio_lower", "odds_ratio_upper")
        shown = limits(material, "coefficients", columns, {"term": term})
        found += [material.words["list_comma"]] if found else []
        found += [given(table.loc[term, "label"], 80), " ", *shown]
    return tuple(found)


def _smaller_key(material: Material) -> str:
    """What is to be said of the chosen size, by patients who had no say in it if there are some."""
    table = material.table("selection")
    chosen = None if table is None else table[table["chosen"].astype(bool)]
    if chosen is None or chosen.empty:
        return "sum_not_selected"
    row = chosen.iloc[0]
    inside = [from_run(material, f"{INSIDE}/{one}") for one in ("elpd_diff", "se")]
    difference, se = (
        row[column] if one is None else one.number
        for column, one in zip(("elpd_diff", "elpd_diff_se"), inside, strict=True)
    )
    if not within_noise(difference, se):
        return "sum_smaller_loss"
    return "sum_smaller_noise" if row["size"] else "sum_smaller_none"


def _open_questions(material: Material, facts: Facts) -> Block:
    keys = ["open_width", "open_correlated", "open_selected", "open_elsewhere", "open_model"]
    tested = material.table("performance")
    if tested is not None and "external" in set(tested["set"]):
        keys.remove("open_elsewhere")
    said = [say(material, key, facts) for key in keys]
    return Bullets(tuple(one for one in said if one is not None))
