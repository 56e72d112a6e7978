"""What ``bayes-cmvt simulate`` prints: a record for JSON, and the record as a screen of text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from bayes_cmvt.glossary import REPLICATED_RULES
from bayes_cmvt.runs import table_records

if TYPE_CHECKING:
    from bayes_cmvt.simulation_run import SimulationResult

METHODS = {
    "credible": "credible",
    "bootstrap": "workflow",
    "bootstrap_refit": "refit",
    "bootstrap_lasso": "lasso",
    "wald": "Wald",
    "wald_selected": "Wald*",
    "firth": "Firth",
    "ridge": "ridge",
}
TARGETS = {
    "risk": "risks of patients",
    "risk_fifth_1": "  lowest fifth of true risk",
    "risk_fifth_2": "  second fifth",
    "risk_fifth_3": "  third fifth",
    "risk_fifth_4": "  fourth fifth",
    "risk_fifth_5": "  highest fifth",
    "risk_top_5pc": "  highest 5 %",
    "predicted_fifth_1": "  lowest fifth of predicted risk",
    "predicted_fifth_5": "  highest fifth of predicted risk",
    "coefficient_zero": "coefficients that are 0",
    "coefficient_weak": "  weak (below 0.5 per SD)",
    "coefficient_strong": "  strong",
    "auc": "AUC of the rule",
    "slope": "calibration slope",
    "net_benefit": "net benefit",
}
RULES = {
    "posterior_mean": "mean of the draws",
    "projection": "its projection (nomogram)",
    "mean_coefficients": "at mean coefficients",
}
LABEL, CELL = 33, 13
FEW_REPLICATIONS, FEW_SETS, FOR_A_VERDICT = 100, 200, 30
WIDTH = 120
NOTES = {
    "workflow": "percentiles of the whole workflow bootstrapped",
    "refit": "of LASSO and refit",
    "lasso": "of the LASSO without a refit",
    "Wald": "limits of the final model as if it had never been chosen; a column that is not in it "
    "counts as 0 to 0",
    "Wald*": "the same, of chosen columns alone",
    "Firth": "all columns, Firth and FLAC",
    "ridge": "all columns, empirical Bayes",
}


def simulation_record(result: SimulationResult) -> dict[str, Any]:
    """Everything the summary says, as numbers and texts.

    Parameters
    ----------
    result : SimulationResult

    Returns
    -------
    dict
        JSON-ready.
    """
    if result.kind == "invariance":
        return _invariance_record(result)
    run = result.run
    left_out = {"sbc_ranks", "coverage_coefficients"}  # long, and in the folder
    return {
        "simulation": result.kind,
        "study": run["study"],
        "data": run["data"]["file"],
        "population_file": run["population_file"],
        "settings": run["settings"],
        "seed": run["seed"],
        "seconds": run["seconds"]["simulate"],
        **{
            name: table_records(table)
            for name, table in result.tables.items()
            if name not in left_out
        },
        "problems": list(result.problems),
        "tables": list(result.tables),
        "run_folder": str(result.folder),
    }


def simulation_text(record: dict[str, Any]) -> str:
    """The record as text.

    Parameters
    ----------
    record : dict
        From `simulation_record`.
    """
    if "simulation" in record and record["simulation"] not in _TEXTS:
        return invariance_text(record)
    blocks = [_heading(record), *_TEXTS[record["simulation"]](record), _footer(record)]
    return "\n\n".join("\n".join(map(_wrapped, block)) for block in blocks if block)


def _wrapped(line: str) -> str:
    """A sentence in lines of the screen's width; the rows of a table are as wide as they are."""
    if len(line) <= WIDTH or "  " in line:
        return line
    return "\n".join(wrap(line, WIDTH, subsequent_indent="  "))


def _heading(record: dict[str, Any]) -> list[str]:
    study, settings = record["study"], record["settings"]
    what = {
        "sbc": "Is the inference right? Simulation-based calibration",
        "coverage": "Whose intervals hold the truth?",
        "selection": "Would a fresh sample select the same?",
    }[record["simulation"]]
    size = f"{settings['n']:,} patients each; " if "n" in settings else ""
    of_whom = "samples of" if record["population_file"] else "patients look like those of"
    lines = [
        f"{what}  ({study['title']})",
        f"{settings['replications']:,} data sets; {size}{of_whom} {record['data']}; "
        f"seed {record['seed']}",
    ]
    if record["population_file"]:
        lines.append("the logistic fit of all its patients is the truth of risks and coefficients")
    of_its_own = {"dense", "null", "posterior", "population"}  # effects
    if "effects" in settings and set(settings["scenarios"]) - of_its_own:
        lines.append(f"effects: {settings['effects']}")
    return lines


def _footer(record: dict[str, Any]) -> list[str]:
    return [
        f"{record['seconds']:,.0f} s; run folder: {record['run_folder']} (tables/, figures/)",
    ]


# --- coverage ------------------------------------------------------------------------------------


def _coverage_blocks(record: dict[str, Any]) -> Iterator[list[str]]:
    for scenario in dict.fromkeys(row["scenario"] for row in record["coverage"]):
        rows = [row for row in record["coverage"] if row["scenario"] == scenario]
        yield _coverage_lines(scenario, rows)
        yield _verdict_lines([row for row in rows if row["method"] == "credible"])
        yield _score_lines(
            [row for row in record.get("coverage_answer", ()) if row["scenario"] == scenario]
        )
        yield _plug_in_lines(
            [row for row in record.get("plug_in", ()) if row["scenario"] == scenario]
        )
        yield _outcome_lines(
            [row for row in record["coverage_outcomes"] if row["scenario"] == scenario]
        )
    yield _file_lines(record.get("file_truth", ()))
    shown = {METHODS[row["method"]] for row in record["coverage"]}
    yield [f"{name}: {note}" for name, note in NOTES.items() if name in shown] + _limits_of_this(
        record
    )


def _coverage_lines(scenario: str, rows: Sequence[dict[str, Any]]) -> list[str]:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    level = 100 * rows[0]["interval"]
    cells = {(row["target"], row["method"]): row for row in rows}
    lines = [
        f"scenario {scenario}: share of {level:g} % intervals that hold the truth (Monte Carlo "
        "error)",
        f"{'':<{LABEL}}" + "".join(f"{METHODS[name]:>{CELL}}" for name in methods),
    ]
    for target, label in TARGETS.items():
        if any((target, name) in cells for name in methods):
            values = (_share(cells.get((target, name))) for name in methods)
            lines.append(f"{label:<{LABEL}}" + "".join(f"{value:>{CELL}}" for value in values))
    width = (_width(cells.get(("risk", name))) for name in methods)
    lines.append(f"{'mean width, risks':<{LABEL}}" + "".join(f"{w:>{CELL}}" for w in width))
    score = (_score(cells.get(("risk", name))) for name in methods)
    lines.append(f"{'interval score, risks':<{LABEL}}" + "".join(f"{w:>{CELL}}" for w in score))
    return lines


def _share(row: dict[str, Any] | None) -> str:
    if row is None:
        return "-"
    error, few = row["coverage_mcse"], row["data_sets"] < FEW_SETS
    if error is None or (few and not error):
        shown = f" of {row['data_sets']}"  # so few data sets show no error
    else:
        shown = f" ({error:.3f})".replace("(0.", "(.")
    return f"{row['coverage']:.3f}".replace("0.", ".", 1) + shown


def _width(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['width']:.3f}"


def _score(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['interval_score']:.3f}"


def _verdict_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Verdicts on the posterior in words."""
    words = {
        "below": "credible intervals cover less than they claim",
        "above": "credible intervals cover more than they claim",
        "as claimed": "credible intervals cover what they claim, within .02",
        "cannot be told": "cannot be told from so many data sets",
    }
    if rows and all(row["data_sets"] < FOR_A_VERDICT for row in rows):
        return [
            f"{rows[0]['data_sets']} data sets are too few for a verdict: it takes "
            f"{FOR_A_VERDICT}, and some 500 to tell .95 from .93"
        ]
    held = {
        verdict: [
            TARGETS.get(row["target"], "").strip() for row in rows if row["verdict"] == verdict
        ]
        for verdict in words
    }
    return [
        f"{words[verdict]}: {', '.join(name for name in names if name)}"
        for verdict, names in held.items()
        if any(names)
    ]


def _score_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Whose interval score is lower, beside the bootstraps."""
    lines = []
    for method in ("bootstrap", "bootstrap_refit"):
        own = [row for row in rows if row["method"] == method]
        better = [TARGETS[row["target"]].strip() for row in own if row["better"] == "credible"]
        worse = [TARGETS[row["target"]].strip() for row in own if row["better"] == "the other"]
        if own:
            lines.append(
                f"interval score against {METHODS[method]}: "
                + (
                    f"credible better for {', '.join(better) or 'nothing'}; worse for "
                    f"{', '.join(worse) or 'nothing'}"
                    if better or worse
                    else "no clear difference in any row"
                )
            )
    return lines


def _file_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How far the fit of everybody is from what happened to the patients of a file."""
    if not rows:
        return []
    cells = ", ".join(
        f"{TARGETS[row['target']].strip()} {row['true_risk']:.3f} / {row['observed']:.3f}"
        for row in rows
    )
    return [f"risk by the fit of all patients / share with the event: {cells}"]


def _limits_of_this(record: dict[str, Any]) -> list[str]:
    """What a reader must know to read the shares."""
    settings, lines = record["settings"], []
    resamples = settings["resamples"]
    if resamples:
        level = settings["ci_prob"] * (resamples - 1) / (resamples + 1)
        lines.append(
            f"percentiles of {resamples} resamples hold {level:.3f} where the method is exact"
        )
    named = {f"{one:.2f}": None for one in settings["thresholds"].values()}
    lines.append(
        f"net benefit at the threshold {', '.join(named)}; credible limits of AUC, slope and net "
        "benefit are those of draws times a Bayesian bootstrap of patients"
    )
    return lines


def _plug_in_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    lines = [
        "risks of fresh patients by          excess log loss     slope   more patients needed*",
    ]
    for row in rows:
        more = "" if row["rule"] == "posterior_mean" else _percent_more(row)
        loss = f"{row['excess_log_loss']:.4f} ({row['excess_log_loss_mcse'] or math.nan:.4f})"
        slope = math.nan if row["slope"] is None else row["slope"]
        lines.append(f"{RULES[row['rule']]:<{LABEL}}{loss:>23}{slope:>10.2f}{more:>23}")
    return [*lines, "* for the loss of the mean of the draws"]


def _percent_more(row: dict[str, Any]) -> str:
    error = row["more_patients_mcse"]
    shown = "" if error is None else f" ({100 * error:.0f})"
    return f"{100 * row['more_patients']:+.0f}{shown} %"


def _outcome_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """What was not as it should be; what never happened is not worth a line."""
    return [
        f"{row['what']}: {row['count']:,} of {row['of']:,}"
        for row in rows
        if row["count"] and not row["what"].startswith("resamples: at least one")
    ]


# --- selection -----------------------------------------------------------------------------------


def _selection_blocks(record: dict[str, Any]) -> Iterator[list[str]]:
    for scenario in dict.fromkeys(row["scenario"] for row in record["selection_rules"]):
        rows = [row for row in record["selection_rules"] if row["scenario"] == scenario]
        yield [
            f"scenario {scenario}",
            *_unknown_line(rows),
            f"{'rule':<12}{'kept':>7}{'true kept':>16}{'zeros among kept':>18}{'exact set':>11}"
            f"{'same again':>12}",
            *(_rule_line(row) for row in rows),
        ]
        yield _survival_lines(
            [row for row in record["selection_survival"] if row["scenario"] == scenario]
        )
    rules = dict.fromkeys(row["rule"] for row in record["selection_rules"])
    yield [f"{rule}: {REPLICATED_RULES[rule]}" for rule in rules]


def _unknown_line(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Nothing is called true of patients whose truth nobody knows."""
    known = any(row["exact_set"] is not None for row in rows)
    return (
        []
        if known
        else [
            "which columns act on the patients of a file nobody knows: nothing is said of true ones"
        ]
    )


def _rule_line(row: dict[str, Any]) -> str:
    cells = (
        _with_error(row["sensitivity"], row["sensitivity_mcse"]),
        _with_error(row["false_discoveries"], row["false_discoveries_mcse"]),
        _plain_share(row["exact_set"]),
        _plain_share(row["same_set_again"]) + ("" if row["kept"] else " (none)"),
    )
    widths = (16, 18, 11, 12)
    return f"{row['rule']:<12}{row['kept']:>7.1f}" + "".join(
        f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)
    )


def _with_error(value: float | None, error: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" + ("" if error is None else f" ({error:.3f})")


def _plain_share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _survival_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """How often each true predictor is kept, by rule."""
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["std_truth"]:
            found.setdefault(row["term"], {"label": row["label"]})[row["rule"]] = row["survival"]
    if not found:
        return []
    lines = [f"{'true ones, kept in this share':<34}" + "".join(f"{rule:>12}" for rule in rules)]
    for cells in found.values():
        values = (_plain_share(cells.get(rule)) for rule in rules)
        lines.append(f"{cells['label'][:32]:<34}" + "".join(f"{value:>12}" for value in values))
    return lines


# --- simulation-based calibration ----------------------------------------------------------------


def _sbc_blocks(record: dict[str, Any]) -> Iterator[list[str]]:
    settings, rows = record["settings"], record["sbc"]
    yield [
        f"engine {settings['engine']}, truths from the {settings['mode']}",
        f"{'':<34}{'P':>10}  inside",
        *(
            f"{row['quantity'][:32]:<34}{row['p_value']:>10.2g}  "
            + ("yes" if row["inside_envelope"] else "NO")
            for row in rows
        ),
    ]
    yield [f"{row['outcome']}: {row['replicates']:,}" for row in record["sbc_outcomes"]]
    level, count = 1 - rows[0]["envelope"], len(rows)
    outside, few = len(record["problems"]), settings["replications"] < FEW_REPLICATIONS
    verdict = f"{outside} of {count} quantities lie outside the envelope: the inference is wrong"
    if not outside:
        verdict = f"all {count} quantities lie inside the envelope"
        if few:
            verdict = f"no gross error is seen; {settings['replications']} data sets show no other"
    yield [f"{verdict} (level {level:.2g} each, for {count} quantities together 0.05)"]


_TEXTS = {"sbc": _sbc_blocks, "coverage": _coverage_blocks, "selection": _selection_blocks}


# --- the proof by invariance ---------------------------------------------------------------------


def _invariance_record(result: SimulationResult) -> dict[str, Any]:
    """What ``simulate sbc --invariance --json`` prints."""
    table, settings = result.tables["sbc"], result.run["settings"]
    return {
        "simulation": "sbc --invariance",
        "patients": settings["patients"],
        "columns": settings["columns"],
        "variants": int(table["variant"].nunique()),
        "replications": settings["replications"],
        "sweeps": settings["sweeps"],
        "seed": result.run["seed"],
        "quantities": len(table),
        "outside": len(result.problems),
        "envelope": settings["envelope"],
        "smallest_p_inside": settings["envelope"] / len(table),
        "table": table_records(table),
        "run_folder": str(result.folder),
    }


def invariance_text(record: dict[str, Any]) -> str:
    """The proof of the sampler as text: what was tested, every quantity, the verdict.

    Parameters
    ----------
    record : dict
        From `simulation_record`.
    """
    names = [row["quantity"] for row in record["table"]]
    columns = max(len(name) for name in names)
    heading = [
        "Is the Gibbs sampler right? If it is, draws that start as draws from the prior stay such.",
        f"{record['replications']:,} times for each of {record['variants']} variants: parameters "
        f"from the prior, {record['patients']} outcomes given them, {record['sweeps']} sweeps from "
        "there;",
        "then each quantity is compared with its prior (Gandy & Scott 2020).",
    ]
    table = [f"{'':<{columns}}  {'distance':>8}  {'P':>7}  inside"]
    table += [_invariance_line(row, columns) for row in record["table"]]
    blocks = [heading, table, _invariance_verdict(record)]
    return "\n\n".join("\n".join(block) for block in blocks)


def _invariance_line(row: dict[str, Any], columns: int) -> str:
    distance, p_value = (math.nan if row[n] is None else row[n] for n in ("distance", "p_value"))
    inside = "yes" if row["inside_envelope"] else "NO"
    return f"{row['quantity']:<{columns}}  {distance:>8.4f}  {p_value:>7.2g}  {inside}"


def _invariance_verdict(record: dict[str, Any]) -> list[str]:
    count, outside = record["quantities"], record["outside"]
    limit = f"{record['envelope']:g} / {count} = {record['smallest_p_inside']:.2g}"
    folder = f"run folder: {record['run_folder']}"
    if not outside:
        return [f"all {count} quantities have P of at least {limit}: the sampler passes; {folder}"]
    return [
        "a right sampler passes for 19 seeds in 20: try another --seed; if that fails too, report "
        "it",
        f"{outside} of {count} quantities have P below {limit}: the sampler fails; {folder}",
    ]
