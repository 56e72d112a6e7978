"""How long each stage of ``reanalyse pep`` takes, its figures, and how large the report is.

Run with ``python benchmarks/reanalysis.py``: one warm run with 1,000 resamples in a folder that is
thrown away. Seconds are of the machine at hand; the shares are what can be compared.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from typer.testing import CliRunner

from bayes_cmvt import cli


def main() -> None:
    """Print seconds and shares of every stage."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "pep"
        # kernels compiled, libraries imported
        CliRunner().invoke(cli.app, ["sample", "pep", "--out", str(folder) + "-warm", "--quiet"])
        started = time.perf_counter()
        done = CliRunner().invoke(
            cli.app, ["reanalyse", "pep", "--out", str(folder), "--json", "--docx"]
        )
        seconds = time.perf_counter() - started
        record = json.loads(done.stdout)
        for stage in record["stages"]:
            share = stage["seconds"] / seconds
            sys.stdout.write(f"{stage['stage']:<14}{stage['seconds']:>8.1f} s{share:>8.1%}\n")
        sys.stdout.write(f"{'in all':<14}{seconds:>8.1f} s\n")
        for name in ("report.html", "report.docx", "calculator.html"):
            sys.stdout.write(f"{name:<16}{(folder / name).stat().st_size / 1e6:>6.1f} MB\n")


if __name__ == "__main__":
    main()
