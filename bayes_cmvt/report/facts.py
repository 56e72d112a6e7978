"""Facts of a run by name, for the phrases of a report: settings, counts, a few results.

A fact that the run does not hold is None; a phrase that needs it is then not written.
"""

from __future__ import annotations

from collections.abc import Mapping

from bayes_cmvt.priors import global_scale, pseudo_sd
from bayes_cmvt.report.document import Content, Inline, Value, given
from bayes_cmvt.report.material import (
    PER_CENT,
    Key,
    Material,
    cell,
    counted,
    from_run,
    from_study,
    limits,
    number_text,
)
from bayes_cmvt.report.report_words import Facts, written

INTERCEPT: Mapping[str, Key] = {"term": "(Intercept)"}
MISSING: Mapping[str, Key] = {"step": "left out: a predictor missing"}
OTHERS: Mapping[str, Key] = {"term !=": "(Intercept)"}
BASELINE = "stages/baseline/inputs/baseline"
INSIDE = "stages/select/size_inside"
SELECT = "stages/select/inputs/settings"
VALIDATE = "stages/validate/inputs/settings"
HONEST_AUC = (  # the first that is there: new patients, then left out, then corrected
    ("external", "auc", "holdout"),
    ("validation", "auc", "holdout"),
    ("development", "leave_pair_out_auc", "loo"),
    ("development", "auc", "kfold"),
    ("development", "auc", "optimism_corrected"),
)
ESTIMATE = ("estimate", "lower", "upper")


def facts_of(material: Material) -> Facts:
    """Return every fact that phrases may name.

    Parameters
    ----------
    material : Material

    Returns
    -------
    mapping of str to inline, content or None
    """
    return {
        **_study_facts(material),
        **_run_facts(material),
        **_prior_facts(material),
        **_baseline_facts(material),
        **_judging_facts(material),
        **_result_facts(material),
    }


def say(material: Material, key: str, facts: Facts) -> Content | None:
    """Return a phrase by its key, with its facts; None where one is not known."""
    return written(material.words[key], facts)


def per_cent(material: Material, table: str, column: str, key: Mapping[str, Key]) -> Value | None:
    """A share of a table in per cent."""
    return cell(material, table, column, key, digits=0, unit=PER_CENT)


def judged(
    material: Material, which: str, metric: str, method: str, model: str = "horseshoe"
) -> Content | None:
    """A performance figure of a model with its interval over patients."""
    key = performance_key(which, metric, method, model)
    found = limits(material, "performance", ESTIMATE, key, digits=3)
    return found if isinstance(found[0], Value) else None


def performance_key(which: str, metric: str, method: str, model: str) -> dict[str, Key]:
    """What a row of ``performance`` holds."""
    return {
        "model": model,
        "set": which,
        "metric": metric,
        "method": method,
        "interval_of": "patients",
    }


def _study_facts(material: Material) -> Facts:
    study = material.run.study
    horizon = study.outcome.horizon
    return {
        "title": given(study.heading.title),
        "outcome": given(study.outcome.label or study.outcome.column),
        "horizon": given(horizon) if horizon else None,
        "outcome_note": given(study.outcome.note, 600) if study.outcome.note else None,
        "outcome_column": given(study.outcome.column),
        "event_value": given(study.outcome.event),
        "description": given(study.heading.description, 3000)
        if study.heading.description
        else None,
        "threshold_low": from_study(material, "decision/thresholds/0"),
        "threshold_high": from_study(material, "decision/thresholds/1"),
        "threshold_use": from_study(material, "decision/use"),
    }


def _run_facts(material: Material) -> Facts:
    paths = ("patients", "events", "settings/chains", "settings/warmup", "settings/draws")
    named = {path.rpartition("/")[2]: from_run(material, path, digits=0) for path in paths}
    return {
        **named,
        "event_share": _event_share(material),
        "seed": from_run(material, "seed"),
        "time": from_run(material, "time"),
        "data_file": from_run(material, "data/file"),
        "data_sha256": from_run(material, "data/sha256"),
        "study_sha256": from_run(material, "study/sha256"),
        "target_accept": from_run(material, "settings/target_accept"),
        "total_draws": from_run(material, "diagnostics/total_draws", digits=0),
        "max_rhat": from_run(material, "diagnostics/max_rhat", digits=4),
        "min_ess": from_run(material, "diagnostics/min_ess_bulk", digits=0),
        "divergences": from_run(material, "diagnostics/divergences", digits=0),
        "version": from_run(material, "versions/bayes-cmvt"),
        "python": from_run(material, "versions/python"),
        "pymc": from_run(material, "versions/pymc"),
        "arviz": from_run(material, "versions/arviz"),
        "left_out": cell(material, "flow", "patients", MISSING, digits=0),
        "columns": counted(material, "coefficients", OTHERS),
        "candidates": _candidates(material),
        "interval": per_cent(material, "coefficients", "interval", INTERCEPT),
        **{
            f"{which}_{what}": cell(
                material, "flow", "patients", {"step": f"{which}: {what}"}, digits=0
            )
            for which in ("development", "validation")
            for what in ("patients", "events")
        },
    }


def _candidates(material: Material) -> Value:
    """How many predictors the study has; one of several levels gives several columns."""
    count = len(material.run.study.predictors)
    return Value(number_text(count, 0), float(count), "study.toml", (), "predictors")


def _event_share(material: Material) -> Value | None:
    run = material.run.run
    if not run.get("patients"):
        return None
    share = run["events"] / run["patients"]
    text = number_text(share, 1, 100) + PER_CENT
    return Value(text, share, "run.json", (), "events / patients", 100)


def _prior_facts(material: Material) -> Facts:
    study = material.run.study
    columns = len(study.shrunk_terms)
    expected = study.prior.expected_nonzero
    declared = from_study(material, "prior/expected_nonzero")
    half = Value(f"{columns / 2:g}", columns / 2, "study.toml", (), "half the shrunk columns")
    shrunk = Value(str(columns), columns, "study.toml", (), "shrunk columns")
    return {
        "shrunk_columns": shrunk,
        "expected": declared or half,
        "global_scale": from_study(material, "prior/global_scale")
        or _global_scale(material, columns / 2 if expected is None else expected, columns),
        "slab_scale": from_study(material, "prior/slab_scale"),
        "slab_df": from_study(material, "prior/slab_df"),
        "prior_scale": from_study(material, "prior/scale"),
        "prior_df": from_study(material, "prior/df"),
        "intercept_scale": from_study(material, "prior/intercept_scale"),
        "intercept_family": (material.words[f"intercept_{study.prior.intercept}"],),
        "prior_family": (material.words[f"prior_family_{study.prior.family}"],),
        "missing_rule": (material.words[f"m_missing_{study.rules.missing}"],),
        "calibration_error_note": (material.words["calibration_error_note"],),
        **_answers(material),
    }


def _answers(material: Material) -> Facts:
    """Answers that hang on which stages have run."""
    study, checked = material.run.study, material.has("predictive_checks")
    informed = any(one.prior is not None for one in study.predictors) or study.informed_predictors
    if material.has("sensitivity_fits"):
        sensitivity = "sensitivity_done"
    elif material.has("sensitivity_power"):
        sensitivity = "sensitivity_power_done"
    else:
        sensitivity = "sensitivity_undone"
    keys = {
        "prior_check": "prior_check_done" if checked else "check_not_run",
        "posterior_check": "posterior_check_done" if checked else "check_not_run",
        "sensitivity_answer": sensitivity,
        "informed_answer": "informed_some" if informed else "informed_none",
    }
    keys["update_said"] = "updated" if material.has("updating") else "no_update"
    if material.has("nomogram"):
        keys["nomogram_said"] = "with_nomogram"
    return {name: say(material, key, {}) for name, key in keys.items()}


def _global_scale(material: Material, expected: float, columns: int) -> Value | None:
    """The scale of τ as the study's expectation and the development patients imply it."""
    counts = [
        cell(material, "flow", "patients", {"step": f"development: {what}"})
        for what in ("patients", "events")
    ]
    run = material.run.run
    patients, events = (
        int(float(one.number) if one else run.get(name, 0))
        for one, name in zip(counts, ("patients", "events"), strict=True)
    )
    if expected >= columns or not 0 < events < patients:
        return None
    scale = global_scale(expected, columns, pseudo_sd(events / patients), patients)
    return Value(number_text(scale, 4), scale, "study.toml", (), "global scale")


def _baseline_facts(material: Material) -> Facts:
    words = material.words
    chosen = material.run.run.get("stages", {}).get("baseline", {}).get("inputs", {})
    settings = chosen.get("baseline", {})
    return {
        "loss": (words[f"loss_{settings['loss']}"],) if settings else None,
        "rule": (words[f"rule_{settings['rule']}"],) if settings else None,
        "cv": (words[f"cv_{settings['cv']}"],) if settings else None,
        "baseline_folds": from_run(material, "stages/baseline/folds_used", digits=0),
        "p_enter": from_run(material, f"{BASELINE}/p_enter"),
        "screen_p": from_run(material, f"{BASELINE}/screen_p"),
        "resamples": _resamples(material),
        "subsamples": from_run(material, "stages/baseline/inputs/subsamples", digits=0),
        "lambda": from_run(material, "stages/baseline/lambda", digits=4),
        "lasso_kept": counted(
            material, "baseline_coefficients", {**OTHERS, "selected_lasso": True}
        ),
        "final_kept": counted(
            material, "baseline_coefficients", {**OTHERS, "selected_final": True}
        ),
    }


def _judging_facts(material: Material) -> Facts:
    return {
        "clusters": from_run(material, f"{SELECT}/clusters", digits=0),
        "projected_draws": from_run(material, f"{SELECT}/draws", digits=0),
        "select_folds": from_run(material, "stages/select/folds_used", digits=0),
        "select_repeats_said": _said_times(material, f"{SELECT}/repeats"),
        "select_subsamples": from_run(material, f"{SELECT}/subsamples", digits=0),
        "rope": from_run(material, f"{SELECT}/rope"),
        "replicates": from_run(material, f"{VALIDATE}/replicates", digits=0),
        "folds": from_run(material, f"{VALIDATE}/folds", digits=0),
        "repeats_said": _said_times(material, f"{VALIDATE}/repeats"),
        "elpd": from_run(material, "stages/validate/loo/elpd", digits=1),
        "elpd_se": from_run(material, "stages/validate/loo/se", digits=1),
        "bad_k": from_run(material, "stages/validate/loo/bad_k", digits=0),
        "refitted": from_run(material, "stages/validate/loo/refitted", digits=0),
    }


def _resamples(material: Material) -> Value | None:
    """How often the workflow was resampled; None where it was not."""
    found = from_run(material, "stages/baseline/inputs/resamples", digits=0)
    return found if found is not None and found.number else None


def _said_times(material: Material, path: str) -> Content | None:
    """How often something was repeated: once, or so many times."""
    found = from_run(material, path, digits=0)
    if found is not None and found.number == 1:
        return (material.words["once"],)
    return say(material, "times", {"count": found})


def _result_facts(material: Material) -> Facts:
    chosen: dict[str, Key] = {"chosen": True}
    recurrence = {"procedure": "projection", "source": "split"}
    return {
        "raising": counted(material, "coefficients", {**OTHERS, "odds_ratio_lower >": 1.0}),
        "lowering": counted(material, "coefficients", {**OTHERS, "odds_ratio_upper <": 1.0}),
        "prior_number": _effective(material, "prior"),
        "posterior_number": _effective(material, "posterior"),
        "size": cell(material, "selection", "size", chosen, digits=0),
        **_size_facts(material, chosen),
        "same_set": per_cent(material, "selection_recurrence", "same_set", recurrence),
        "distinct_sets": cell(
            material, "selection_recurrence", "distinct_sets", recurrence, digits=0
        ),
        "splits": cell(material, "selection_recurrence", "replicates", recurrence, digits=0),
        "median_width": from_run(material, "stages/select/median_width/reference", digits=2),
        "apparent_auc": judged(material, "development", "auc", "apparent"),
        **_honest(material),
    }


def _size_facts(material: Material, chosen: Mapping[str, Key]) -> Facts:
    """What the chosen size loses; by patients who had no say in it, where that is known."""
    found: Facts = {
        "size_elpd_diff": cell(material, "selection", "elpd_diff", chosen, digits=1),
        "size_elpd_se": cell(material, "selection", "elpd_diff_se", chosen, digits=1),
        "inside_elpd": from_run(material, f"{INSIDE}/elpd_diff", digits=1),
        "inside_se": from_run(material, f"{INSIDE}/se", digits=1),
    }
    loss = say(material, "size_loss_inside", found) or say(material, "size_loss_all", found)
    return {**found, "size_loss": loss}


def _effective(material: Material, distribution: str) -> Content | None:
    key: dict[str, Key] = {"distribution": distribution, "quantity": "m_eff"}
    found = limits(material, "effective_number", ("median", "lower", "upper"), key, digits=1)
    return found if isinstance(found[0], Value) else None


def _honest(material: Material) -> dict[str, Inline | Content | None]:
    """The AUC and slope of the deployed rule that say most about new patients."""
    for which, metric, method in HONEST_AUC:
        found = judged(material, which, metric, method)
        if found is not None:
            slope_by = "kfold" if method == "loo" else method
            share = cell(
                material,
                "performance",
                "estimate",
                performance_key(which, metric, method, "horseshoe"),
                digits=0,
                unit=PER_CENT,
            )
            return {
                "auc": found,
                "auc_share": share,
                "auc_where": (material.words[f"where_{which}"],),
                "auc_method": (material.words[f"method_{method}"],),
                "slope": judged(material, which, "calibration_slope", slope_by),
                "slope_method": (material.words[f"method_{slope_by}"],),
                "in_the_large": judged(material, which, "calibration_in_the_large", slope_by),
            }
    return dict.fromkeys(("auc", "auc_share", "auc_where", "auc_method", "slope"))


def with_facts(facts: Facts, **more: Inline | Content | None) -> Facts:
    """Return the facts and some more."""
    return {**facts, **more}
