"""Elpd by size beside projpred's, without the search inside the folds, for the references of R.

``python benchmarks/selection_projpred.py`` prints, for birthwt and synth26 of ../shared/reference,
the order of the search, the elpd of patients left out by importance weights, and the means of the
projected coefficients in combined Monte Carlo errors. projpred judged 20 clusters of draws, which
its weights can hardly tell apart: its larger submodels come out above its own reference.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import bayes_cmvt as bc  # noqa: E402
from bayes_cmvt.repetitions import SelectionSettings  # noqa: E402
from bayes_cmvt.selection import select  # noqa: E402
from bayes_cmvt.selection_estimates import selection_table  # noqa: E402
from benchmarks.baseline_coverage import as_markdown  # noqa: E402
from tests.references import reference_cohort, reference_section  # noqa: E402

SETTINGS = SelectionSettings(
    validation="loo", search_inside=False, subsamples=0, splits=0, seeds=0, dealings=0
)


def beside_projpred(name: str) -> pd.DataFrame:
    """One row for each size that projpred judged: ours and theirs."""
    cohort = reference_cohort(name)
    fit = bc.sample(cohort, seed=3)
    ours = selection_table(select(fit, cohort, settings=SETTINGS))
    theirs = reference_section(name, "projpred")["cv_varsel"]["table"]
    count = len(theirs["size"])
    return pd.DataFrame(
        {
            "size": theirs["size"],
            "term": ours["term"][:count],
            "term in R": ["", *theirs["solution_terms"][1:]],
            "elpd": ours["elpd"][:count],
            "elpd in R": theirs["elpd.loo"],
            "less reference": ours["elpd_diff"][:count],
            "less reference in R": theirs["elpd.diff"],
            "SE": ours["elpd_diff_se"][:count],
            "SE in R": theirs["elpd.diff.se"],
        }
    )


def main() -> None:
    """Print both tables."""
    for name in ("birthwt", "synth26"):
        print(f"\n{name}\n")
        print(as_markdown(beside_projpred(name).round(2)))


if __name__ == "__main__":
    main()
