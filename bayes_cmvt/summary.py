"""The printed summary of a run: a record that JSON can hold, and the record as a screen of text."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.estimates import INTERCEPT
from bayes_cmvt.intervals import equal_tailed
from bayes_cmvt.posterior import settings_of
from bayes_cmvt.responses import response_priors
from bayes_cmvt.study import Study, level_text, prior_in_words
from bayes_cmvt.synthetic import NOTICE, is_synthetic
from bayes_cmvt.textwidth import fitted, padded, screen

if TYPE_CHECKING:
    from bayes_cmvt.workflow import CheckResult, SampleResult

KEPT_SHOWN = 0.30  # predictors kept less are counted, not listed
LISTED_AT_LEAST, LISTED_AT_MOST = 6, 15
LABEL_WIDTH = 38
NOTES_SHOWN = 8
SCREEN_WIDTH = 100


def sample_record(result: SampleResult) -> dict[str, Any]:
    """Everything the summary says, as numbers and texts.

    Parameters
    ----------
    result : SampleResult

    Returns
    -------
    dict
        JSON-ready; what ``--json`` prints.
    """
    cohort, loo, verdict = result.cohort, result.loo, result.verdict
    study, settings = cohort.study, settings_of(result.fit)
    return {
        "study": study.name,
        "title": cohort.title,
        "synthetic": is_synthetic(cohort.source),
        "source": cohort.source,
        "patients": len(cohort.outcome),
        "events": int(cohort.outcome.sum()),
        "development": {"patients": cohort.n_development, "events": cohort.events_development},
        "candidates": len(study.predictors),
        "columns": len(study.terms),
        "flow": dict(cohort.flow),
        "notes": list(cohort.notes),
        "interval": result.interval,
        "prior": {"words": prior_in_words(study), **_effective_numbers(result)},
        "printed_responses": _response_records(study),
        "sampling": {
            **settings,
            "max_rhat": _number(verdict.max_rhat),
            "min_ess_bulk": _number(verdict.min_ess_bulk),
            "divergences": verdict.divergences,
        },
        "diagnostics": {
            "trusted": verdict.trusted,
            "problems": list(verdict.problems),
            "warnings": list(verdict.warnings),
        },
        "engines": _agreement_record(result),
        "loo": {"elpd": loo.elpd, "se": loo.se, "p_loo": loo.p_loo, "bad_k": loo.bad}
        | {"good_k": loo.good_k},
        "coefficients": _coefficient_records(result.tables["coefficients"]),
        "prior_odds_ratio_widest": _widest_prior(result.tables["prior"]),
        "risks": _risk_record(result.tables["predictions"]),
        "leverage": result.leverage.to_dict("records"),
        "one_sided_levels": result.one_sided.to_dict("records"),
        "run_folder": str(result.folder),
    }


def _response_records(study: Study) -> list[dict[str, Any]]:
    """The printed responses that are the prior of the groups; none where the study takes none."""
    if not study.informed_predictors:
        return []
    return [
        {"group": one.group, "worth": one.worth, "successes": one.a, "failures": one.b}
        for one in response_priors(study)
    ]


def _agreement_record(result: SampleResult) -> dict[str, Any] | None:
    """How the engines compared, where both were run."""
    compared = result.agreement
    if compared is None:
        return None
    return {
        "agree": compared.agrees,
        "comparisons": compared.comparisons,
        "largest": _number(compared.largest),
        "expected_largest": _number(compared.expected_largest),
        "beyond": len(compared.beyond),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _effective_numbers(result: SampleResult) -> dict[str, Any]:
    """Median and 90 % interval of m_eff before and after the data, and of df_eff after."""
    limits: dict[str, Any] = {"df_eff_posterior": _limits_90(result.degrees_of_freedom)}
    if "m_eff" not in result.fit["posterior"].data_vars:
        return limits
    for name, group in (("m_eff_prior", "prior"), ("m_eff_posterior", "posterior")):
        limits[name] = _limits_90(result.fit[group]["m_eff"].to_numpy().ravel())
    shrunk = len(result.cohort.study.shrunk_terms)
    limits["kept_prior"] = float(result.fit["prior"]["m_eff"].mean()) / shrunk
    return limits


def _limits_90(draws: NDArray[np.float64]) -> dict[str, float]:
    lower, median, upper = equal_tailed(draws, 0.9)
    return {"median": float(median), "lower": float(lower), "upper": float(upper)}


def _coefficient_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table[table["term"] != INTERCEPT].sort_values("shrinkage", kind="stable")
    columns = [
        "term", "label", "per", "odds_ratio", "odds_ratio_lower", "odds_ratio_upper",
        "prob_positive", "shrinkage",
    ]  # fmt: skip
    return [
        {name: row[name] for name in columns} | {"decimals": _decimals(row)}
        for row in rows.to_dict("records")
    ]


def _decimals(row: Mapping[Hashable, Any]) -> dict[str, int]:
    """Decimals that the Monte Carlo error of each odds ratio supports."""
    scale = row["per"] * row["sd"] / row["std_sd"] if row["std_sd"] > 0 else 0.0
    return {
        name: supported_decimals(row[name] * scale * row[error])
        for name, error in (
            ("odds_ratio", "mcse_mean"),
            ("odds_ratio_lower", "mcse_lower"),
            ("odds_ratio_upper", "mcse_upper"),
        )
    }


def supported_decimals(error: float) -> int:
    """Decimals whose last digit is not smaller than a Monte Carlo standard error, 2 at most.

    Examples
    --------
    >>> supported_decimals(0.004), supported_decimals(0.03), supported_decimals(0.3)
    (2, 1, 0)
    """
    if not 0 < error < math.inf:
        return 2
    return max(0, min(2, math.floor(-math.log10(error))))


def _widest_prior(table: pd.DataFrame) -> dict[str, Any]:
    """The term whose odds ratio the prior leaves widest open on its contrast."""
    row = table.iloc[int(table["prior_upper"].to_numpy().argmax())]
    return {
        "term": str(row["term"]),
        "label": str(row["label"]),
        "contrast": float(row["contrast"]),
        "lower": float(row["prior_lower"]),
        "upper": float(row["prior_upper"]),
    }


def _risk_record(predictions: pd.DataFrame) -> dict[str, float]:
    risk, width = predictions["risk"], predictions["upper"] - predictions["lower"]
    return {
        "median": float(risk.median()),
        "smallest": float(risk.min()),
        "largest": float(risk.max()),
        "median_width": float(width.median()),
    }


def sample_text(record: dict[str, Any]) -> str:
    """The summary as one screen of text, about 100 columns wide.

    Parameters
    ----------
    record : dict
        From `sample_record`.
    """
    blocks = [
        [*_heading_lines(record), *_note_lines(record)],
        _fit_lines(record),
        _coefficient_lines(record),
        _risk_lines(record),
        _warning_lines(record),
        _verdict_lines(record),
        _closing_lines(record),
    ]
    return screen(blocks)


def _closing_lines(record: dict[str, Any]) -> list[str]:
    folder = record["run_folder"]
    trusted = record["diagnostics"]["trusted"]
    after = f"next: bayes-cmvt validate {folder}; bayes-cmvt baseline {folder}; "
    after += f"bayes-cmvt select {folder}"
    return [f"run folder: {folder}", *([after] if trusted else [])]


def _heading_lines(record: dict[str, Any]) -> list[str]:
    share = record["events"] / record["patients"]
    counts = (
        f"{record['patients']:,} patients, {record['events']:,} events ({percent(share)}), "
        f"{record['candidates']} candidates, {record['columns']} columns"
    )
    lines = [f"{record['study']}  {record['title']}", f"  {record['source']}: {counts}"]
    lines += _synthetic_lines(record["source"])
    left_out = [f"{count:,} {step}" for step, count in record["flow"].items() if "left" in step]
    changed = [text for text in left_out if not text.startswith("0 ")]
    lines.append(f"  {'; '.join(changed) if changed else 'nothing left out'}")
    development = record["development"]
    if development["patients"] != record["patients"]:
        lines.append(
            f"  the model is developed on {development['patients']:,} of them, "
            f"{development['events']:,} events"
        )
    return lines


def _synthetic_lines(source: str) -> list[str]:
    if not is_synthetic(source):
        return []
    return wrap(NOTICE, SCREEN_WIDTH, initial_indent="  ", subsequent_indent="  ")


def _note_lines(record: dict[str, Any]) -> list[str]:
    notes = record["notes"]
    lines = [f"  note: {note}" for note in notes[:NOTES_SHOWN]]
    if len(notes) > NOTES_SHOWN:
        lines.append(f"  … {len(notes) - NOTES_SHOWN} more notes in run.json")
    return lines


def _fit_lines(record: dict[str, Any]) -> list[str]:
    prior, sampling, loo = record["prior"], record["sampling"], record["loo"]
    lines = [f"prior      {prior['words']}", *_response_lines(record)]
    if "m_eff_prior" in prior:
        lines.append(
            f"           effective number a priori: {_median_and_90(prior['m_eff_prior'])}"
        )
    widest = record["prior_odds_ratio_widest"]
    level = f"{record['interval']:.0%}"
    lines += [
        f"           widest {level} of an odds ratio a priori: {widest['lower']:.2g} to "
        f"{widest['upper']:.2g} ({widest['label']})",
        f"sampled    {_sampler(sampling)}",
        f"           {_health(record)}",
        *_engine_lines(record),
    ]
    bad = "all k-hat good"
    if loo["bad_k"]:
        bad = f"k-hat above {loo['good_k']:.2f} in {loo['bad_k']}: validate fits again without them"
    after = []
    if "m_eff_posterior" in prior:
        after.append(f"effective number: {_median_and_90(prior['m_eff_posterior'])}")
    after += [
        f"degrees of freedom, correlation included: {_median_and_90(prior['df_eff_posterior'])}",
        f"elpd_loo {loo['elpd']:.1f} (SE {loo['se']:.1f}), {bad}",
    ]
    labels = ["posterior", *[""] * len(after)]
    return [*lines, *(f"{label:<11}{text}" for label, text in zip(labels, after, strict=False))]


def _response_lines(record: dict[str, Any]) -> list[str]:
    rows = record["printed_responses"]
    if not rows:
        return []
    told = ", ".join(f"{row['group']} Beta({row['successes']}, {row['failures']})" for row in rows)
    worth = sum(row["worth"] for row in rows)
    text = f"printed responses, worth {worth} patients: {told}; no shrinkage between these groups"
    return wrap(text, SCREEN_WIDTH, initial_indent=" " * 11, subsequent_indent=" " * 11)


def _median_and_90(limits: dict[str, float]) -> str:
    return f"median {limits['median']:.1f}, 90 % {limits['lower']:.1f} to {limits['upper']:.1f}"


def _sampler(sampling: dict[str, Any]) -> str:
    name = {"gibbs": "Gibbs", "nuts": "NUTS"}[sampling["engine"]]
    text = (
        f"{name}, {sampling['chains']} chains x {sampling['draws']} draws "
        f"after {sampling['warmup']}, {sampling['sampling_seconds']:.1f} s"
    )
    if sampling.get("repeated"):
        text += (
            f"; repeated at {sampling['target_accept_used']} "
            f"({sampling['divergences_before_repeat']} divergent before)"
        )
    if len(sampling["lengths"]) > 1:
        tried = ", ".join(str(length) for length in sampling["lengths"][:-1])
        text += f"; {tried} were too few"
    return text


def _health(record: dict[str, Any]) -> str:
    sampling = record["sampling"]
    rhat, ess = sampling["max_rhat"], sampling["min_ess_bulk"]
    shown = "R-hat undefined" if rhat is None else f"R-hat <= {rhat:.3f}"
    shown += "" if ess is None else f", bulk ESS >= {ess:,.0f}"
    if sampling["engine"] == "nuts":
        shown += f", {sampling['divergences']} divergences"
    if sampling.get("independence_step"):
        shown += f", independence step taken in {sampling['accepted']:.0%}"
    trusted = record["diagnostics"]["trusted"]
    return f"{shown} - draws can{'' if trusted else 'not'} be trusted"


def _engine_lines(record: dict[str, Any]) -> list[str]:
    engines = record["engines"]
    if engines is None:
        return []
    verdict = f"Gibbs and NUTS {'agree' if engines['agree'] else 'DISAGREE'}"
    if engines["largest"] is None or engines["expected_largest"] is None:
        return [f"engines    {verdict}: differences without bound: tables/engines.csv"]
    return [
        f"engines    {verdict}: the largest of {engines['comparisons']} differences is "
        f"{engines['largest']:.1f} Monte Carlo errors (about {engines['expected_largest']:.1f} by "
        "chance): tables/engines.csv"
    ]


def _coefficient_lines(record: dict[str, Any]) -> list[str]:
    records = record["coefficients"]
    kept = [one for one in records if 1 - one["shrinkage"] >= KEPT_SHOWN]
    shown = records[: min(max(len(kept), LISTED_AT_LEAST), LISTED_AT_MOST)]
    level = f"{record['interval']:.0%} interval"
    lines = [
        padded("", LABEL_WIDTH)
        + f"  {'odds ratio':>10}   {level:>16}   {'P(OR > 1)':>9}   kept (1 - shrinkage)"
    ]
    lines += [_coefficient_line(one) for one in shown]
    rest = records[len(shown) :]
    if rest:
        most = max(1 - one["shrinkage"] for one in rest)
        count = f"{len(rest)} more columns" if len(rest) > 1 else "1 more column"
        lines.append(
            f"{count}, kept {most:.2f} or less: {record['run_folder']}/tables/coefficients.csv"
        )
    return [*lines, *_reading_lines(record)]


def _reading_lines(record: dict[str, Any]) -> list[str]:
    """How the table is to be read: what kept starts from, and what the prior does to effects."""
    if "kept_prior" not in record["prior"]:
        return []
    return [
        f"Before the data every column is kept {record['prior']['kept_prior']:.2f} on average. The "
        "prior draws odds ratios (medians) towards 1:",
        "they serve prediction; a treatment whose effect is the question is kept in with "
        "shrink = false.",
        "Digits are those that the draws support; more draws give more.",
    ]


def _coefficient_line(one: dict[str, Any]) -> str:
    label = one["label"] + ("" if one["per"] == 1 else f" (per {level_text(one['per'])})")
    shown = {name: _shown_ratio(one[name], places) for name, places in one["decimals"].items()}
    limits = f"{shown['odds_ratio_lower']} to {shown['odds_ratio_upper']}"
    kept = 1 - one["shrinkage"]
    return (
        padded(fitted(label, LABEL_WIDTH), LABEL_WIDTH)
        + f"  {shown['odds_ratio']:>10}   {limits:>16}   {one['prob_positive']:>9.2f}"
        f"   {kept:>4.2f}  {'#' * round(12 * kept)}"
    )


def _shown_ratio(value: float, places: int) -> str:
    return f"{value:.{places}f}" if value < 10_000 else f"{value:.0e}"


def percent(share: float) -> str:
    """A share in per cent, with a decimal where it is nearly nothing or nearly all.

    Examples
    --------
    >>> percent(0.131), percent(0.0039), percent(0.996)
    ('13%', '0.4%', '99.6%')
    """
    return f"{share:.1%}" if min(share, 1 - share) < 0.015 else f"{share:.0%}"


def _risk_lines(record: dict[str, Any]) -> list[str]:
    risks = record["risks"]
    median = min(risks["median"], 1 - risks["median"])
    # two digits of the median risk, rare as the event may be
    places = 2 if median >= 0.1 else min(6, 1 - math.floor(math.log10(max(median, 1e-6))))
    shown = {name: f"{value:.{places}f}" for name, value in risks.items()}
    return [
        f"risk of a patient: median {shown['median']} (range {shown['smallest']} to "
        f"{shown['largest']}); median width of its {record['interval']:.0%} interval "
        f"{shown['median_width']}"
    ]


def _warning_lines(record: dict[str, Any], at_most: int = 12) -> list[str]:
    return [
        *_leverage_lines(record["leverage"], at_most),
        *_one_sided_lines(record["one_sided_levels"]),
        *record.get("diagnostics", {}).get("warnings", []),
    ]


def _one_sided_lines(levels: list[dict[str, Any]]) -> list[str]:
    """One line for each level of which all patients, or none, had the event."""
    return [
        f"quasi-separation: {'all' if one['event'] else 'none of the'} {one['patients']} patients "
        f"with {one['name']} = {one['level']} had the event; only the prior limits its effect"
        for one in levels
    ]


def _leverage_lines(leverage: list[dict[str, Any]], at_most: int) -> list[str]:
    """One line for each column in which one patient holds an extreme share of the spread."""
    if not leverage:
        return []
    lines = ["extreme leverage: one patient holds much of these columns' spread; check the cells"]
    lines += [
        f"  {one['term']}: {one['value']:g} in row {one['row']} (line {one['row'] + 1}) holds "
        f"{one['share']:.0%}"
        for one in leverage[:at_most]
    ]
    if len(leverage) > at_most:
        lines.append(f"  … and {len(leverage) - at_most} more columns: tables/leverage.csv")
    return lines


def _verdict_lines(record: dict[str, Any]) -> list[str]:
    diagnostics = record["diagnostics"]
    if diagnostics["trusted"]:
        return []
    return [
        "the draws are not to be trusted; what failed, and what to do:",
        *(f"  {problem}" for problem in diagnostics["problems"]),
        f"  every quantity: {record['run_folder']}/tables/diagnostics.csv",
    ]


def check_text(result: CheckResult) -> str:
    """Flow, Table 1 and leverage of a checked cohort."""
    from bayes_cmvt.table_one import table_one_text

    cohort = result.cohort
    flow = result.flow
    width = max(len(step) for step in flow["step"])
    lines = [f"  {step:<{width}}  {count:>7,}" for step, count in flow.itertuples(index=False)]
    notes = [f"  note: {note}" for note in cohort.notes]
    heading = (
        f"{cohort.source} can be analysed as study {cohort.study.name}: "
        f"{len(cohort.study.predictors)} candidates, {len(cohort.study.terms)} columns"
    )
    blocks = [
        [heading, *_synthetic_lines(cohort.source), *lines, *notes],
        [table_one_text(result.table_one)],
        _warning_lines(check_record(result), at_most=50),
    ]
    return screen(blocks)


def check_record(result: CheckResult) -> dict[str, Any]:
    """What ``check --json`` prints."""
    table = result.table_one.astype(object).where(result.table_one.notna(), None)
    return {
        "study": result.cohort.study.name,
        "title": result.cohort.title,
        "source": result.cohort.source,
        "flow": {str(step): int(count) for step, count in result.flow.itertuples(index=False)},
        "notes": list(result.cohort.notes),
        "table_one": table.to_dict("records"),
        "leverage": result.leverage.to_dict("records"),
        "one_sided_levels": result.one_sided.to_dict("records"),
    }


def plain(value: object) -> object:
    """Turn NumPy scalars into numbers that JSON can hold; a default for ``json.dumps``."""
    if isinstance(value, np.generic):
        return value.item()
    msg = f"{type(value).__name__} cannot be written as JSON"
    raise TypeError(msg)
