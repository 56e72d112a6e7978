"""What `sample` costs: import, compilation, and both engines side by side in core-seconds.

Run with ``make bench``. Each figure comes from a process of its own, so that nothing is warm that
should be cold. Times are of one machine at one moment: compare figures of one run with each other.
Effective draws are counted per core-second of sampling, warm-up and discarded attempts included,
compilation not. Where Rscript and rstanarm are installed, Stan's own run stands beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
DATA_SETS = ("synth26", "indo_rct")
COMMAND = [sys.executable, "-c", "from bayes_cmvt.cli import main; main()"]
THREADS_DRAWS = "20000"
HEADING = "data      engine      compile   wall   core  ESS/core-s: min β  median β  log τ   R-hat"


def seconds_of(arguments: list[str], **environment: str) -> float:
    """Wall time of one process."""
    started = time.perf_counter()
    done = subprocess.run(
        arguments, cwd=ROOT, env=os.environ | environment, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode not in (0, 3):
        msg = f"{arguments} ended with {done.returncode}"
        raise SystemExit(msg)
    return time.perf_counter() - started


def child(*options: str, **environment: str) -> dict[str, float]:
    """Figures of one fit in a fresh process."""
    done = subprocess.run(
        [sys.executable, __file__, *options],
        check=True,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def core_seconds() -> float:
    """CPU time of this process and all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def fit_and_measure(
    name: str, engine: str, target_accept: float, cores: int, draws: int | None
) -> dict[str, float]:
    """One fit, by default at the default length; the engine's own part is in core-seconds."""
    import arviz_stats as azs
    import numpy as np

    sys.path.insert(0, str(ROOT))
    import bayes_cmvt as bc
    from bayes_cmvt import sampling
    from bayes_cmvt.diagnostics import diagnostics
    from tests.references import reference_cohort

    cohort = reference_cohort(name)
    started = time.perf_counter()
    if engine == "gibbs":
        # compile, or load what was compiled, before the clock runs
        bc.sample(cohort, seed=9, chains=1, warmup=10, draws=4, engine="gibbs", cores=1)
    compiled = time.perf_counter() - started
    spent: list[float] = []
    honest = sampling._until_enough

    def timed(*arguments):  # type: ignore[no-untyped-def]
        before = core_seconds()
        result = honest(*arguments)
        spent.append(core_seconds() - before)
        return result

    sampling._until_enough = timed
    fit = bc.sample(
        cohort, seed=1, target_accept=target_accept, engine=engine, cores=cores, draws=draws
    )
    settings = json.loads(fit.attrs["settings"])
    table = diagnostics(fit)
    beta = table[table["quantity"].str.startswith("beta[")]["ess_bulk"]
    tau = fit["posterior"]["tau"].to_numpy()
    return {
        "compile": compiled if engine == "gibbs" else settings["compile_seconds"],
        "wall": settings["sampling_seconds"],
        "core": spent[0],
        "min_ess": float(beta.min()) / spent[0],
        "median_ess": float(beta.median()) / spent[0],
        "log_tau_ess": float(azs.ess(np.log(tau))) / spent[0],
        "max_rhat": float(table[table["gated"]]["rhat"].max()),
        "repeated": float(settings.get("repeated", False)),
    }


def line(name: str, label: str, figures: dict[str, float]) -> str:
    """One row of the table."""
    return (
        f"{name:9} {label:10} {figures['compile']:8.2f} {figures['wall']:6.1f} "
        f"{figures['core']:6.1f} {figures['min_ess']:18.0f} {figures['median_ess']:9.0f} "
        f"{figures['log_tau_ess']:6.0f} {figures['max_rhat']:7.3f}"
        + ("  (two attempts)" if figures["repeated"] else "")
    )


def rstanarm(name: str) -> dict[str, float] | None:
    """The same posterior by rstanarm, where it is installed."""
    if shutil.which("Rscript") is None:
        return None
    design = ROOT / "tests" / "reference" / f"{name}_design.csv"
    script = Path(__file__).with_name("rstanarm.R")
    done = subprocess.run(
        ["Rscript", str(script), str(design)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        print(f"rstanarm did not run: {done.stderr.strip().splitlines()[-1:]}")
        return None
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def engines_side_by_side() -> None:
    """ESS per core-second of both engines, and of rstanarm."""
    print("\n" + HEADING)
    for name in DATA_SETS:
        gibbs = child("--fit", name, "--engine", "gibbs")
        print(line(name, "gibbs", gibbs))
        others = {
            f"nuts {target}": child(
                "--fit", name, "--engine", "nuts", "--target-accept", str(target)
            )
            for target in (0.95, 0.99)
        }
        stan = rstanarm(name)
        if stan is not None:
            others["rstanarm"] = stan
        for label, figures in others.items():
            print(line(name, label, figures))
            print(
                f"{'':9} gibbs / {label}: min β {gibbs['min_ess'] / figures['min_ess']:.1f}, "
                f"log τ {gibbs['log_tau_ess'] / figures['log_tau_ess']:.1f}"
            )


def threads() -> None:
    """One thread against two: long runs in turn, of each the shortest of three.

    A run of two seconds, or a neighbour on the machine, moves their ratio by a third.
    """
    walls = [
        [
            child("--fit", "synth26", "--cores", cores, "--draws", THREADS_DRAWS)["wall"]
            for cores in ("1", "2")
        ]
        for _ in range(3)
    ]
    one, two = (min(column) for column in zip(*walls, strict=True))
    print(f"\nGibbs, 4 chains, one thread {one:.2f} s, two {two:.2f} s: {one / two:.2f} times")


def whole_commands() -> None:
    """`sample pep` from start to finish, cold and warm."""
    print()
    for engine, draws in (("gibbs", "5000"), ("nuts", "2000")):
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "pep")
            sample = [*COMMAND, "sample", "pep", "--engine", engine, "--draws", draws, "--out", out]
            caches = {
                "NUMBA_CACHE_DIR": str(Path(folder) / "numba"),
                "PYTENSOR_FLAGS": f"base_compiledir={folder}/pytensor",
            }
            cold = seconds_of(sample, **caches)
            warm = seconds_of([*sample, "--overwrite"], **caches)
        print(f"sample pep --engine {engine} --draws {draws}: cold {cold:.1f} s, warm {warm:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", choices=DATA_SETS, help=argparse.SUPPRESS)
    parser.add_argument("--engine", choices=("gibbs", "nuts"), default="gibbs")
    parser.add_argument("--target-accept", type=float, default=0.99)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--draws", type=int)
    options = parser.parse_args()
    if options.fit:
        figures = fit_and_measure(
            options.fit, options.engine, options.target_accept, options.cores, options.draws
        )
        print(json.dumps(figures))
        return
    python = sys.executable
    print(f"--help            {seconds_of([*COMMAND, '--help']):6.2f} s")
    for module in ("bayes_cmvt", "bayes_cmvt.gibbs", "pymc", "nutpie"):
        print(f"import {module:17} {seconds_of([python, '-c', f'import {module}']):6.2f} s")
    engines_side_by_side()
    threads()
    whole_commands()


if __name__ == "__main__":
    main()
