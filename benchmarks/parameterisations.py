"""Which form of the regularised horseshoe NUTS samples best: the table of decision 0001.

All forms state the same posterior. Run with ``python benchmarks/parameterisations.py``.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))


def non_centred(pm: Any, tau0: float, columns: int, c2: Any) -> Any:
    """The form of the package: z, τ and λ as they are."""
    tau = pm.HalfCauchy("tau", beta=tau0)
    local = pm.HalfCauchy("lambda", beta=1.0, shape=columns)
    return pm.Normal("z", 0, 1, shape=columns) * regularised(pm, tau * local, c2)


def scale_mixture(pm: Any, tau0: float, columns: int, c2: Any) -> Any:
    """Half-Cauchys as |normal| times the root of an inverse gamma, as in rstanarm."""
    tau = pm.HalfNormal("tau_n", tau0) * pm.InverseGamma("tau_g", 0.5, 0.5) ** 0.5
    local = (
        pm.HalfNormal("lambda_n", 1.0, shape=columns)
        * pm.InverseGamma("lambda_g", 0.5, 0.5, shape=columns) ** 0.5
    )
    pm.Deterministic("tau", tau)
    return pm.Normal("z", 0, 1, shape=columns) * regularised(pm, tau * local, c2)


def scaled(pm: Any, tau0: float, columns: int, c2: Any) -> Any:
    """θ = τλ drawn as a half-Cauchy of scale τ."""
    tau = pm.HalfCauchy("tau", beta=tau0)
    theta = pm.HalfCauchy("theta", beta=tau, shape=columns)
    return pm.Normal("z", 0, 1, shape=columns) * regularised(pm, theta, c2)


def centred(pm: Any, tau0: float, columns: int, c2: Any) -> Any:
    """β drawn directly from its conditional prior."""
    tau = pm.HalfCauchy("tau", beta=tau0)
    local = pm.HalfCauchy("lambda", beta=1.0, shape=columns)
    return pm.Normal("b", 0, regularised(pm, tau * local, c2), shape=columns)


def regularised(pm: Any, free: Any, c2: Any) -> Any:
    """SD of a coefficient, √(c²a²/(c² + a²))."""
    return free * pm.math.sqrt(c2 / (c2 + free**2))


FORMS: dict[str, Callable[..., Any]] = {
    "non-centred": non_centred,
    "scale mixture": scale_mixture,
    "scaled": scaled,
    "centred": centred,
}


def compiled(form: Callable[..., Any], matrix: Any, outcome: Any, prior: Any) -> Any:
    """One form of the model, compiled for nutpie."""
    import nutpie
    import pymc as pm

    from bayes_cmvt.horseshoe import _intercept, _log_mass

    with pm.Model() as model:
        intercept = _intercept(prior)
        c2 = pm.InverseGamma("c2", prior.slab_df / 2, prior.slab_df * prior.slab_scale**2 / 2)
        beta = pm.Deterministic("beta", form(pm, prior.global_scale, matrix.shape[1], c2))
        pm.CustomDist(
            "outcome",
            intercept + pm.Data("matrix", matrix) @ beta,
            logp=_log_mass,
            observed=outcome.astype(float),
        )
    return nutpie.compile_pymc_model(model)


def main() -> None:
    import arviz_stats as azs
    import nutpie

    from bayes_cmvt.design import design_matrix, learn_design
    from bayes_cmvt.priors import numeric_prior
    from tests.references import reference_cohort

    print("4 chains x (1000 + 1000), seed 1; ESS of 4000 draws, per core-second in brackets")
    for name in ("synth26", "indo_rct"):
        cohort = reference_cohort(name)
        design = learn_design(cohort)
        prior = numeric_prior(design, n=cohort.n_development, events=cohort.events_development)
        matrix = design_matrix(design, cohort.predictors)
        for label, form in FORMS.items():
            model = compiled(form, matrix, cohort.outcome, prior)
            for target in (0.95, 0.99) if form is not centred else (0.95,):
                before = resource.getrusage(resource.RUSAGE_SELF)
                tree = nutpie.sample(
                    model, draws=1000, tune=1000, chains=4, cores=2, seed=1,
                    target_accept=target, progress_bar=False, save_warmup=False,
                )  # fmt: skip
                after = resource.getrusage(resource.RUSAGE_SELF)
                core = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                ess = float(np.min(azs.ess(tree["posterior"]["beta"].to_numpy())))
                tau = float(azs.ess(np.log(tree["posterior"]["tau"].to_numpy())))
                stats = tree["sample_stats"]
                divergent, steps = int(stats["diverging"].sum()), float(stats["n_steps"].mean())
                print(
                    f"{name:9} {label:14} {target:.2f}  {divergent:4d} divergent  "
                    f"{steps:5.0f} gradients/draw  {core:6.1f} core-s  beta {ess:5.0f} "
                    f"({ess / core:4.0f})  log tau {tau:5.0f} ({tau / core:4.0f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
