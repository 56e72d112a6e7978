"""Updating a published model with one study: does it help in the others, or not at all.

``python benchmarks/updating.py DVTIPD.csv``: Oudega's model for deep vein thrombosis, updated with
each study of the file in turn, by maximum likelihood (level; level and spread) and by the posterior
under normal priors around its coefficients, and judged on all other studies. The file is the
hypothetical individual patient data of R's metamisc, which this repository does not hold.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

import bayes_cmvt as bc
from bayes_cmvt import metrics
from bayes_cmvt.metrics.calibration import log_odds
from bayes_cmvt.study import parse_study

INTERCEPT = -5.47
COEFFICIENTS = {
    "malign": 0.42,
    "surg": 0.38,
    "calfdif3": 1.13,
    "vein": 0.48,
    "oachst": 0.75,
    "sex": 0.59,
    "notraum": 0.60,
    "ddimdich": 3.01,
}
PRIOR_SD = 0.5  # of each log-odds ratio around the published one


def study() -> bc.Study:
    """The study whose priors are the published coefficients."""
    predictors = "".join(
        f'[[predictors]]\nname = "{name}"\nkind = "binary"\nprior = [{value}, {PRIOR_SD}]\n'
        for name, value in COEFFICIENTS.items()
    )
    heading = (
        'schema = 1\nname = "oudega"\ntitle = "Oudega"\n[outcome]\ncolumn = "dvt"\nevent = 1\n'
    )
    return parse_study(heading + predictors)


def published_risk(patients: pd.DataFrame) -> np.ndarray:
    """Risk by the model as it was printed."""
    score = INTERCEPT + patients[list(COEFFICIENTS)].to_numpy() @ list(COEFFICIENTS.values())
    return 1 / (1 + np.exp(-score))


def figures(outcome: np.ndarray, risk: np.ndarray) -> list[float]:
    """AUC, slope, calibration in the large, log score."""
    scores = ("auc", "calibration_slope", "calibration_in_the_large", "log_score")
    return [float(getattr(metrics, name)(outcome, risk)) for name in scores]


def updates(inside: pd.DataFrame, outside: pd.DataFrame) -> dict[str, np.ndarray]:
    """Risks of the patients outside by the model as it stands and updated with those inside."""
    before = published_risk(outside)
    line = metrics.recalibration(inside["dvt"], published_risk(inside))
    by_level = log_odds(before) + line.in_the_large
    by_line = line.intercept + line.slope * log_odds(before)
    fit = bc.sample(bc.load_cohort(study(), inside), seed=1)
    return {
        "as it stands": before,
        "level": 1 / (1 + np.exp(-by_level)),
        "level and spread": 1 / (1 + np.exp(-by_line)),
        "posterior": bc.predict(fit, outside)["risk"].to_numpy(),
    }


def main() -> None:
    """Print one block for each study that updates."""
    patients = pd.read_csv(sys.argv[1])
    print(f"{'updated with':<14}{'update':<18}{'AUC':>7}{'slope':>8}{'large':>8}{'log score':>11}")
    for name, inside in patients.groupby("study"):
        outside = patients[patients["study"] != name]
        for update, risk in updates(inside, outside).items():
            auc, slope, large, log_score = figures(outside["dvt"].to_numpy(), risk)
            print(
                f"{name!s:<14}{update:<18}{auc:>7.3f}{slope:>8.2f}{large:>8.2f}{log_score:>11.4f}"
            )


if __name__ == "__main__":
    main()
