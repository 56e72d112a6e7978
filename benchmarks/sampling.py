"""What `sample` costs: import, compilation cold and warm, gradients, ESS per core-second.

Run with ``make bench``. Each figure comes from a process of its own, so that nothing is warm that
should be cold. Times are of one machine at one moment: compare figures of one run with each other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA_SETS = ("synth26", "indo_rct")
HEADING = (
    "data      accept  compile   wall   core   gradients  div  "
    "ESS/core-s: min median log tau  R-hat"
)


def seconds_of(arguments: list[str], **environment: str) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    subprocess.run(
        arguments, check=True, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - started


def child(name: str, target_accept: float, cache: str | None = None) -> dict[str, float]:
    """Figures of one fit in a fresh process."""
    environment = dict(os.environ)
    if cache is not None:
        environment["PYTENSOR_FLAGS"] = f"base_compiledir={cache}"
    done = subprocess.run(
        [sys.executable, __file__, "--fit", name, "--target-accept", str(target_accept)],
        check=True,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def fit_and_measure(name: str, target_accept: float) -> dict[str, float]:
    """One fit at the default length, with core-seconds of sampling alone."""
    import numpy as np

    sys.path.insert(0, str(ROOT))
    import bayes_cmvt as bc
    from bayes_cmvt import sampling
    from bayes_cmvt.diagnostics import diagnostics
    from tests.references import reference_cohort

    cohort = reference_cohort(name)
    spent: list[float] = []
    honest = sampling._nuts

    def timed(*arguments, **options):  # type: ignore[no-untyped-def]
        before = resource.getrusage(resource.RUSAGE_SELF)
        tree = honest(*arguments, **options)
        after = resource.getrusage(resource.RUSAGE_SELF)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        return tree

    sampling._nuts = timed
    fit = bc.sample(cohort, seed=1, target_accept=target_accept)
    settings = json.loads(fit.attrs["settings"])
    table = diagnostics(fit)
    beta = table[table["quantity"].str.startswith("beta[")]["ess_bulk"]
    tau = fit["posterior"]["tau"].to_numpy()
    import arviz_stats as azs

    return {
        "compile": settings["compile_seconds"],
        "wall": settings["sampling_seconds"],
        "core": sum(spent),
        "attempts": len(spent),
        "divergences": int(fit["sample_stats"]["diverging"].sum()),
        "gradients": int(fit["sample_stats"]["n_steps"].sum()),
        "min_ess": float(beta.min()) / sum(spent),
        "median_ess": float(beta.median()) / sum(spent),
        "log_tau_ess": float(azs.ess(np.log(tau))) / sum(spent),
        "max_rhat": float(table[table["gated"]]["rhat"].max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", choices=DATA_SETS, help=argparse.SUPPRESS)
    parser.add_argument("--target-accept", type=float, default=0.99)
    options = parser.parse_args()
    if options.fit:
        print(json.dumps(fit_and_measure(options.fit, options.target_accept)))
        return
    python = sys.executable
    command = [python, "-c", "from bayes_cmvt.cli import main; main()"]
    print(f"--help            {seconds_of([*command, '--help']):6.2f} s")
    print(f"import bayes_cmvt {seconds_of([python, '-c', 'import bayes_cmvt']):6.2f} s")
    print(f"import pymc       {seconds_of([python, '-c', 'import pymc']):6.2f} s")
    print(f"import nutpie     {seconds_of([python, '-c', 'import nutpie']):6.2f} s")
    with tempfile.TemporaryDirectory() as cache:
        cold = child("synth26", 0.99, cache)["compile"]
        warm = child("synth26", 0.99, cache)["compile"]
    print(f"compile           {cold:6.2f} s cold, {warm:.2f} s warm (new process, disk cache)")
    print("\n" + HEADING)
    for name in DATA_SETS:
        for target in (0.95, 0.99):
            f = child(name, target)
            print(
                f"{name:9} {target:6.2f} {f['compile']:8.2f} {f['wall']:6.1f} {f['core']:6.1f} "
                f"{f['gradients']:11,.0f} {f['divergences']:4.0f} {f['min_ess']:15.0f} "
                f"{f['median_ess']:6.0f} {f['log_tau_ess']:7.0f} {f['max_rhat']:6.3f}"
                + ("  (two attempts)" if f["attempts"] > 1 else "")
            )
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "pep")
        whole = seconds_of([*command, "sample", "--out", out])
        print(f"\nsample pep, start to finish, warm: {whole:.1f} s")


if __name__ == "__main__":
    main()
