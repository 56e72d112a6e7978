"""How the run was made, from its own settings, and the references that it used."""

from __future__ import annotations

from bayes_cmvt.report.document import Block, Heading, Paragraph, References
from bayes_cmvt.report.facts import say
from bayes_cmvt.report.material import Material
from bayes_cmvt.report.report_words import Facts
from bayes_cmvt.schema import Continuous


def methods(material: Material, facts: Facts) -> list[Block]:
    """Return the methods with the settings of this run, ready to paste, and the references.

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
        Heading(2, words["methods"], "methods"),
        *_part(material, facts, "patients", ["m_outcome", "m_horizon", *_data_keys(material)]),
        *_part(material, facts, "model", ["m_model", *_prior_keys(material), "m_intercept"]),
        *_part(material, facts, "computation", [_engine_key(material), "m_gate", "m_software"]),
        *_part(material, facts, "baseline", _baseline_keys(material)),
        *_part(material, facts, "judging", _judging_keys(material)),
        *_part(material, facts, "reporting", ["m_intervals", "m_guidelines"]),
        Heading(3, words["references"], "references"),
        References(),
    ]


def _part(material: Material, facts: Facts, name: str, keys: list[str]) -> list[Block]:
    """One heading and one paragraph of the phrases that can be told."""
    said = [say(material, key, facts) for key in keys]
    told = [one for one in said if one is not None]
    if not told:
        return []
    gap = material.words["sentence_gap"]
    joined = told[0]
    for one in told[1:]:
        joined = (*joined, gap, *one)
    return [
        Heading(3, material.words[f"m_h_{name}"], f"methods-{name}"),
        Paragraph(joined),
    ]


def _data_keys(material: Material) -> list[str]:
    study = material.run.study
    keys = [f"m_missing_{study.rules.missing}"]
    keys.append("m_split" if study.split is not None else "m_no_split")
    continuous = [one for one in study.predictors if isinstance(one, Continuous)]
    if any(one.transform != "identity" for one in continuous):
        keys.append("m_transformed")
    return keys


def _prior_keys(material: Material) -> list[str]:
    study = material.run.study
    keys = []
    if study.shrunk_terms:
        declared = "_declared" if study.prior.global_scale is not None else ""
        names = {
            "regularized-horseshoe": f"m_horseshoe{declared}",
            "normal": "m_normal",
            "student-t": "m_student",
        }
        keys.append(names[study.prior.family])
    if any(not one.shrink for one in study.predictors):
        keys.append("m_kept_in")
    if any(one.prior is not None for one in study.predictors):
        keys.append("m_own_prior")
    if study.informed_predictors:
        keys.append("m_responses")
    return keys


def _engine_key(material: Material) -> str:
    engine = material.run.run.get("engine", "gibbs")
    return "m_nuts" if engine == "nuts" else "m_gibbs"


def _baseline_keys(material: Material) -> list[str]:
    stage = material.run.run.get("stages", {}).get("baseline")
    if stage is None:
        return ["m_no_baseline"]
    settings = stage["inputs"]["baseline"]
    keys = ["m_screened"] if settings.get("screen_p") is not None else []
    keys.append("m_lasso")
    if settings.get("elimination"):
        keys.append("m_aic")
    elif settings["p_enter"] < 1:
        keys.append("m_p_rule")
    else:
        keys.append("m_all_kept")
    keys.append("m_bootstrap" if stage["inputs"]["resamples"] else "m_no_bootstrap")
    if any(one.get("firth") for one in stage.get("separation", {}).values()):
        keys.append("m_firth")
    return keys


def _judging_keys(material: Material) -> list[str]:
    stages = material.run.run.get("stages", {})
    keys = []
    if "validate" in stages:
        keys += ["m_validate", "m_left_out", "m_decision"]
    if "select" in stages:
        keys += ["m_select", "m_false_signs"]
    if material.has("compare_agreement") or "compare" in stages:
        keys.append("m_compare")
    if material.has("instability"):
        keys.append("m_instability")
    if material.has("sensitivity_power"):
        keys.append("m_power")
    return keys
