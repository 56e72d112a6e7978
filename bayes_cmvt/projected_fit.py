"""A selection as a DataTree that is a fit: the posterior projected onto the chosen submodel.

Groups: ``posterior`` (projected draws; 0 for what is not in the submodel), ``search`` (the path of
all patients), ``cross_validation`` (risks of left-out patients for each size; private),
``again_SOURCE`` (what folds, subsamples, splits and seeds selected), ``observed_data`` and
``constant_data`` as in a posterior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from bayes_cmvt.cohort import Cohort
from bayes_cmvt.posterior import design_of, fit_attributes, settings_of
from bayes_cmvt.projection import SearchPath
from bayes_cmvt.repetitions import (
    LASSO_RULES,
    REFERENCE_DRAWS,
    JudgedSizes,
    Positions,
    Reference,
    Repeated,
)
from bayes_cmvt.selection_rules import RULES
from bayes_cmvt.study import Study
from bayes_cmvt.submodels import ReferenceDraws, project_draws

ENGINE = "projection"
MEANING = {
    "intercept": "log-odds at the means, of the projected submodel",
    "beta": "log-odds per SD, of the projected submodel; 0 for what is not in it",
    "divergence": "Kullback-Leibler divergence from the reference, nats per patient",
    "order": "predictors as they entered, by position",
    "candidate_divergence": "divergence had the predictor entered at this step",
    "cost": "of the predictors that are in, together",
    "risk": "of patients left out, by the submodel of each size",
    "reference_risk": "of patients left out, by the full posterior",
    "fold": "with which the patient was left out",
    "size_inside": "size that the patients of the other folds suggest",
    "pareto_k": "of the importance weights that leave the patient out",
    "good_k": "largest k-hat that the number of draws supports",
}


def projected_fit(
    reference: Reference,
    path: SearchPath,
    judged: JudgedSizes,
    repeated: Sequence[Repeated],
    sizes: tuple[int, int],
    inside: Positions | None,
) -> xr.DataTree:
    """Project the posterior onto the chosen submodel, and put everything together.

    Parameters
    ----------
    reference : Reference
    path : SearchPath
    judged : JudgedSizes
    repeated : sequence of Repeated
    sizes : (int, int)
        The chosen and the suggested one.
    inside : ndarray of int, shape (repeat, patient), optional
        Size that the other folds suggest for each patient's; None where the size was asked for.

    Returns
    -------
    DataTree
    """
    fit, cohort = reference.fit, reference.cohort
    terms, (chosen, suggested) = design_of(fit).terms, sizes
    groups = {
        "posterior": _projected_group(reference, path, chosen),
        "search": _search_group(path, cohort.study),
        "cross_validation": _judged_group(judged, inside),
        **_repeated_groups(repeated),
        "observed_data": {"outcome": ("patient", reference.rows.outcome)},
        "constant_data": {
            name: ("coefficient", fit["constant_data"][name].to_numpy())
            for name in ("mean", "sd", "contrast")
        },
    }
    settings = {
        "engine": ENGINE,
        "size": chosen,
        "suggested": suggested,
        "predictors": [cohort.study.predictors[one].name for one in sorted(path.order[:chosen])],
        "by_suggestion": inside is not None,
        "forced": [cohort.study.predictors[one].name for one in reference.plan.first],
        "selection": asdict(reference.settings),
        "reference": settings_of(fit),
        "seed": reference.settings.seed,
    }
    tree = _tree(groups, cohort, terms)
    tree.attrs.update(fit_attributes(cohort, settings))
    return tree


def _projected_group(reference: Reference, path: SearchPath, chosen: int) -> dict[str, Any]:
    chains = reference.fit["posterior"].sizes["chain"]
    draws = _even_draws(reference.fit, REFERENCE_DRAWS // chains)
    columns = reference.plan.columns(path.order[:chosen].tolist())
    projected, divergence = project_draws(draws, reference.rows.matrix, columns)
    both = ("chain", "draw")
    return {
        "intercept": (both, projected.intercept.reshape(chains, -1)),
        "beta": ((*both, "coefficient"), projected.beta.reshape(chains, -1, draws.beta.shape[1])),
        "divergence": (both, divergence.reshape(chains, -1)),
    }


def _even_draws(fit: xr.DataTree, per_chain: int) -> ReferenceDraws:
    """Evenly spaced draws of each chain, chain after chain."""
    posterior = fit["posterior"]
    length = posterior.sizes["draw"]
    kept = np.linspace(0, length - 1, min(per_chain, length)).round().astype(int)
    intercept = posterior["intercept"].to_numpy()[:, kept]
    beta = posterior["beta"].to_numpy()[:, kept]
    return ReferenceDraws(intercept.ravel(), beta.reshape(intercept.size, -1))


def is_projection(fit: xr.DataTree) -> bool:
    """Whether a fit is a posterior projected onto a submodel."""
    return "search" in fit.children and "posterior" in fit.children


def _search_group(path: SearchPath, study: Study) -> dict[str, Any]:
    costs = np.array([one.cost for one in study.predictors])
    return {
        "order": ("step", path.order),
        "divergence": ("size", path.divergence),
        "candidate_divergence": (("step", "predictor"), path.candidates),
        "cost": ("size", np.concatenate([[0.0], np.cumsum(costs[path.order])])),
    }


def _judged_group(judged: JudgedSizes, inside: Positions | None) -> dict[str, Any]:
    group = {
        "risk": (("repeat", "size", "patient"), judged.risk),
        "reference_risk": (("repeat", "patient"), judged.reference),
        "fold": (("repeat", "patient"), judged.fold),
        "order": (("left_out", "step"), judged.order),
    }
    if inside is not None:
        group["size_inside"] = (("repeat", "patient"), inside)
    if judged.pareto_k is not None:
        group["pareto_k"] = (("patient",), judged.pareto_k)
        group["good_k"] = ((), np.asarray(judged.good_k))
    return group


def _repeated_groups(repeated: Sequence[Repeated]) -> dict[str, dict[str, Any]]:
    """One group for each source: orders, and what rules kept; rules that failed are left out."""
    groups: dict[str, dict[str, Any]] = {}
    for source in dict.fromkeys(one.source for one in repeated):
        members = [one for one in repeated if one.source == source]
        orders = [one.order for one in members if one.order is not None]
        group: dict[str, Any] = {}
        if orders:
            group["order"] = (("repetition", "step"), np.stack(orders))
        for rule in (*RULES, *LASSO_RULES):
            kept = [one.kept[rule] for one in members if rule in one.kept]
            if kept:
                # repetitions that failed are missing from the rule's own dimension
                group[rule] = ((f"{rule}_repetition", "coefficient"), np.stack(kept))
        if group:
            groups[f"again_{source}"] = group
    return groups


def _tree(
    groups: Mapping[str, Mapping[str, Any]], cohort: Cohort, terms: tuple[str, ...]
) -> xr.DataTree:
    coords = {
        "coefficient": list(terms),
        "patient": cohort.rows[cohort.development],
        "predictor": [one.name for one in cohort.study.predictors],
    }
    datasets = {}
    for name, variables in groups.items():
        data = xr.Dataset({key: value for key, value in variables.items() if key not in coords})
        own = {key: values for key, values in coords.items() if key in data.dims}
        counted = {key: np.arange(data.sizes[key]) for key in ("chain", "draw") if key in data.dims}
        for variable in data.data_vars:
            if variable in MEANING:
                data[variable].attrs["description"] = MEANING[str(variable)]
        datasets[f"/{name}"] = data.assign_coords({**own, **counted})
    return xr.DataTree.from_dict(datasets)
