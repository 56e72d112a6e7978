"""The tables of docs/whose-intervals.md, from run folders of ``bayes-cmvt simulate coverage``.

``python benchmarks/whose_intervals.py RUN …`` prints, for each scenario in each folder, the
coverage of every target by every method with its Monte Carlo error, mean widths and interval
scores, and one table that answers the question.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bayes_cmvt.simulation_summary import METHODS, RULES, TARGETS  # noqa: E402

ANSWERED = ("risk", "risk_fifth_5", "risk_top_5pc", "predicted_fifth_5", "coefficient_zero")
ANSWERED += ("coefficient_weak", "coefficient_strong", "auc", "slope", "net_benefit")
RIVALS = ("bootstrap", "bootstrap_refit")


def table_of(folder: Path, name: str) -> pd.DataFrame:
    """A table of a run folder; the scenario "null" is a name."""
    file = folder / "tables" / f"{name}.csv"
    return pd.read_csv(file, keep_default_na=False, na_values=[""])


def markdown(table: pd.DataFrame) -> str:
    """A table whose cells are texts."""
    lines = ["| " + " | ".join(table.columns) + " |", "|---" * len(table.columns) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)


def decimal(value: float, digits: int = 3) -> str:
    """A share as .953."""
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def share(value: float, error: float) -> str:
    """A share with its error, as .953 (.004)."""
    if not np.isfinite(value):
        return ""
    return decimal(value) + ("" if not np.isfinite(error) else f" ({decimal(error)})")


def coverage_of(coverage: pd.DataFrame) -> pd.DataFrame:
    """Targets in rows, methods in columns; below them widths and interval scores of risks."""
    methods = [name for name in METHODS if name in set(coverage["method"])]
    cells = coverage.set_index(["target", "method"])
    rows = []
    for target, label in TARGETS.items():
        found = {
            METHODS[name]: share(*cells.loc[(target, name), ["coverage", "coverage_mcse"]])
            if (target, name) in cells.index
            else ""
            for name in methods
        }
        if any(found.values()):
            rows.append({"held": label.strip()} | found)
    for column, words in (("width", "mean width, risks"), ("interval_score", "score, risks")):
        figures = {
            METHODS[name]: decimal(cells.loc[("risk", name), column])
            if ("risk", name) in cells.index
            else ""
            for name in methods
        }
        rows.append({"held": words} | figures)
    return pd.DataFrame(rows)


def answer_of(answers: pd.DataFrame) -> pd.DataFrame:
    """Verdicts on both kinds of intervals, and whose interval score is lower."""
    rows = []
    for (scenario, target), group in answers.groupby(["scenario", "target"], sort=False):
        if target not in ANSWERED:
            continue
        own = group.iloc[0]
        row = {
            "scenario": scenario,
            "of": TARGETS[target].strip(),
            "credible": share(own["credible_coverage"], own["credible_mcse"]),
            "verdict": own["credible_verdict"],
        }
        for method in RIVALS:
            rival = group[group["method"] == method]
            if rival.empty:
                continue
            one = rival.iloc[0]
            ratio = share(one["score_ratio"], one["score_ratio_mcse"])
            row |= {
                METHODS[method]: share(one["coverage"], one["coverage_mcse"]),
                f"{METHODS[method]}: verdict": one["verdict"],
                f"score, credible / {METHODS[method]}": f"{ratio} {one['better']}",
            }
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def plug_in_of(plug_in: pd.DataFrame) -> pd.DataFrame:
    """Excess log loss of three ways to deploy a posterior."""
    return pd.DataFrame(
        [
            {
                "scenario": row["scenario"],
                "risk": RULES[row["rule"]],
                "excess log loss": f"{row['excess_log_loss']:.4f} "
                f"({row['excess_log_loss_mcse']:.4f})",
                "slope": f"{row['slope']:.2f}",
                "observed / expected": f"{row['observed_expected']:.3f}",
                "net benefit lost, per 1,000": f"{1000 * row['net_benefit_loss']:.1f}",
                "more patients": ""
                if row["rule"] == "posterior_mean"
                else f"{100 * row['more_patients']:+.0f} % ({100 * row['more_patients_mcse']:.0f})",
            }
            for row in plug_in.to_dict("records")
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    runs = parser.parse_args().runs
    for folder in runs:
        coverage = table_of(folder, "coverage")
        for scenario, one in coverage.groupby("scenario", sort=False):
            sets = int(one["data_sets"].max())
            print(f"\n### {scenario}: {sets:,} data sets ({folder.name})\n")
            print(markdown(coverage_of(one)))
    print("\n### The answer\n")
    for folder in runs:
        print(markdown(answer_of(table_of(folder, "coverage_answer"))), end="\n\n")
    print("\n### Deployed\n")
    print(markdown(pd.concat([plug_in_of(table_of(folder, "plug_in")) for folder in runs])))
    for folder in runs:
        outcomes = table_of(folder, "coverage_outcomes")
        print()
        print(outcomes[outcomes["count"] > 0].to_string(index=False))


if __name__ == "__main__":
    main()
