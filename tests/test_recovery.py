"""The proof of the Gibbs sampler by invariance; and that it finds samplers that are wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

import bayes_cmvt as bc
from bayes_cmvt import cli, recovery
from bayes_cmvt.priors import prior_draws
from bayes_cmvt.progress import SamplingState

FEW = 500  # replicates in plain Python: a right sampler has a distance below 0.09, P > 0.001

# The kernel in plain Python, first as it is, then without the normaliser of N(beta_j; 0, v_j).
# N(0, v_j) is proportional to the product of N(0, tau^2 lambda_j^2) and N(0, c^2). Taking that
# product instead (Nishimura & Suchard) multiplies the joint density by
# prod_j 1 / sqrt(c^2 + tau^2 lambda_j^2); taking exp(-beta_j^2 / 2c^2) as its second factor, by
# prod_j c / sqrt(c^2 + tau^2 lambda_j^2).
NEGATIVE_CONTROL = """
import json, sys
import numpy as np
from bayes_cmvt import gibbs, recovery

def rows():
    design_seed, seed = np.random.SeedSequence(2025).spawn(2)
    matrix = recovery.small_design(np.random.default_rng(design_seed))
    setting = recovery.Setting(matrix, int(sys.argv[1]), recovery.SWEEPS, 1)
    return recovery.put_to_proof(recovery.variants()[0], setting, seed, lambda finished: None)

def wrong(power):
    def factor(log_products, log_c2):
        return 0.5 * (power * log_c2 - np.logaddexp(log_c2, 2 * log_products)).sum()

    def global_density(log_tau, given):
        products = log_tau + given.state.log_local
        return gibbs.log_global_density(log_tau, given) + factor(products, given.state.log_c2)

    def local_density(log_local, given):
        product = np.array([given.log_tau + log_local])
        return gibbs.log_local_density(log_local, given) + factor(product, given.log_c2)

    def slab_density(log_c2, given):
        return gibbs.log_slab_density(log_c2, given) + factor(given.log_products, log_c2)

    gibbs.slice_global = gibbs.slice_sampler(global_density)
    gibbs.slice_local = gibbs.slice_sampler(local_density)
    gibbs.slice_slab = gibbs.slice_sampler(slab_density)
    return rows()

assert not hasattr(gibbs.sweep, "py_func"), "numba is still on"
print(json.dumps({"right": rows(), "product": wrong(0), "kernel": wrong(1)}))
"""


def invoke(*arguments: str):
    return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)


def one_variant(name: str, replications: int, seed: int = 2025) -> pd.DataFrame:
    """The rows of one variant, without the others."""
    variant = next(one for one in recovery.variants() if one.name == name)
    design_seed, variant_seed = np.random.SeedSequence(seed).spawn(2)
    matrix = recovery.small_design(np.random.default_rng(design_seed))
    setting = recovery.Setting(matrix, replications, recovery.SWEEPS, 1)
    rows = recovery.put_to_proof(variant, setting, variant_seed, lambda finished: None)
    return recovery.with_envelope(rows).set_index("quantity")


@pytest.fixture
def few_fresh_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where power does not matter: a twentieth of the draws that stand for a prior."""
    monkeypatch.setattr(recovery, "FRESH", 10_000)


# --- the sampler is right ------------------------------------------------------------------------


def test_every_variant_of_the_sampler_passes() -> None:
    table = bc.invariance_test()
    assert list(table.columns[:4]) == ["quantity", "replications", "p_value", "inside_envelope"]
    assert table["inside_envelope"].all(), table[~table["inside_envelope"]].to_string()
    assert table.groupby("variant", sort=False).size().to_dict() == {
        "horseshoe": 9,
        "horseshoe with independence step": 9,
        "student-t": 7,
        "normal with own prior": 5,
    }
    assert (table["replications"] == 10_000).all()
    # 0.05 / 30 in either tail of the Kolmogorov-Smirnov distance of 10,000 draws
    assert table["distance"].max() < 0.0195
    for column in table.columns:
        assert len(bc.define(column)) > 10


@pytest.mark.usefixtures("few_fresh_draws")
def test_table_does_not_depend_on_threads_and_changes_with_the_seed() -> None:
    """1,100 replicates are two streams, the second of them shorter."""
    one, three = (bc.invariance_test(replications=1100, seed=3, cores=n) for n in (1, 3))
    pd.testing.assert_frame_equal(one, three, check_exact=True)
    other = bc.invariance_test(replications=1100, seed=4)
    assert (other["distance"] != one["distance"]).all()


@pytest.mark.usefixtures("few_fresh_draws")
def test_progress_counts_the_replicates_of_all_variants() -> None:
    seen: list[SamplingState] = []
    bc.invariance_test(replications=3000, report=seen.append)
    finished = [state.finished for state in seen]
    assert finished == sorted(finished)
    assert {state.total for state in seen} == {12_000}
    names = [variant.name for variant in recovery.variants()]
    for state in seen:
        before = 3000 * names.index(state.details)
        assert before < state.finished <= before + 3000


# --- what is tested against what -----------------------------------------------------------------


@pytest.mark.parametrize("variant", recovery.variants(), ids=lambda variant: variant.name)
def test_prior_draws_follow_the_laws_that_the_sampler_is_held_to(
    variant: recovery.Variant,
) -> None:
    """No sweep at all: an error in a law, or in the draws it starts from, would show here."""
    rng = np.random.default_rng(1)
    matrix = recovery.small_design(rng)
    first, second = (recovery.prior_states(variant.prior, matrix, 50_000, rng) for _ in range(2))
    for row in recovery.compared(variant.prior, matrix, first, second):
        assert row["p_value"] > 0.0005, row


def test_closed_forms_are_those_of_the_definition() -> None:
    """tau ~ C+(0, 1), c^2 ~ Inv-Gamma(2, 2 * 0.5^2), alpha ~ t_3(0, 2.5), from their densities."""
    horseshoe = recovery.prior_laws(recovery.variants()[0].prior)
    points = np.array([0.2, 1.0, 3.0])
    np.testing.assert_allclose(horseshoe["tau"](points), 2 / np.pi * np.arctan(points), rtol=1e-12)
    # shape 2, rate 1/2: P(c2 <= x) = (1 + 1 / 2x) exp(-1 / 2x)
    rate = 0.5 / points
    np.testing.assert_allclose(horseshoe["c2"](points), (1 + rate) * np.exp(-rate), rtol=1e-12)
    scaled = stats.t(3, scale=2.5).cdf(points)
    np.testing.assert_allclose(horseshoe["alpha"](points), scaled, rtol=1e-12)
    own = recovery.prior_laws(recovery.variants()[3].prior)
    assert own["beta_1"](np.array([0.7]))[0] == 0.5
    assert own["|beta_2|"](np.array([2.5 * 1.959964]))[0] == pytest.approx(0.95, abs=1e-6)


def test_the_small_problem_has_a_group_of_patients_to_move() -> None:
    matrix = recovery.small_design(np.random.default_rng(0))
    np.testing.assert_allclose(matrix.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(matrix.std(axis=0, ddof=1), 1, rtol=1e-12)
    assert [len(np.unique(column)) for column in matrix.T] == [2, 10, 10]
    outcome = np.zeros(10, dtype=np.int8)  # one class stays in
    problem = recovery.gibbs_problem(matrix, outcome, recovery.small_prior("normal"))
    assert list(problem.groups.column) == [0, 1]


# --- wrong samplers fail -------------------------------------------------------------------------


def distance_of_a_reweighted_prior(power: int) -> float:
    """Distance of tau, the prior times prod_j c^power / sqrt(c^2 + tau^2 lambda_j^2).

    Ten outcomes say little about tau: the wrong sampler ends near this wrong prior.
    """
    prior = recovery.variants()[0].prior
    drawn = prior_draws(prior, 400_000, np.random.default_rng(1))
    assert drawn.tau is not None
    assert drawn.local is not None
    assert drawn.slab is not None
    tau, c = drawn.tau, drawn.slab[:, np.newaxis]
    weights = (c**power / np.hypot(c, tau[:, np.newaxis] * drawn.local)).prod(axis=1)
    order = np.argsort(tau)
    reached = np.cumsum(weights[order]) / weights.sum()
    return float(np.abs(reached - stats.halfcauchy.cdf(tau[order])).max())


def test_a_sampler_without_the_normaliser_fails() -> None:
    """METHODS.md has a distance of 0.41 for tau; that of the product of two normals is 0.47."""
    done = subprocess.run(
        [sys.executable, "-c", NEGATIVE_CONTROL, str(FEW)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    found = {
        kind: recovery.with_envelope(rows).set_index("quantity")
        for kind, rows in json.loads(done.stdout).items()
    }
    right = found["right"]
    assert right["inside_envelope"].all(), right.to_string()
    assert right.loc["horseshoe: tau", "distance"] < 0.09
    for power, kind, expected in ((1, "kernel", 0.41), (0, "product", 0.47)):
        wrong = found[kind]
        assert distance_of_a_reweighted_prior(power) == pytest.approx(expected, abs=0.01)
        # 2.5 standard errors of the distance of so few replicates
        assert wrong.loc["horseshoe: tau", "distance"] == pytest.approx(expected, abs=0.055)
        for name in ("tau", "lambda", "|beta_1|", "|beta_2|", "|beta_3|"):
            assert not wrong.loc[f"horseshoe: {name}", "inside_envelope"], wrong.to_string()


def test_a_sampler_that_takes_events_for_none_fails_by_the_likelihood_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The prior is symmetric: what it says about the parameters alone cannot tell y from 1 - y."""
    honest = recovery.gibbs_problem

    def flipped(matrix, outcome, prior, *, independent):
        return honest(matrix, 1 - outcome, prior, independent=independent)

    monkeypatch.setattr(recovery, "gibbs_problem", flipped)
    table = one_variant("horseshoe", 3000)
    outside = table.index[~table["inside_envelope"]]
    assert list(outside) == ["horseshoe: log-likelihood"]


def test_a_sampler_of_another_prior_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slab of 1 where 0.5 is declared."""
    honest = recovery.gibbs_problem

    def wider(matrix, outcome, prior, *, independent):
        problem = honest(matrix, outcome, prior, independent=independent)
        wrong = problem.prior._replace(slab_scale=1.0)
        return type(problem)(problem.rows, problem.groups, wrong, independent)

    monkeypatch.setattr(recovery, "gibbs_problem", wider)
    table = one_variant("horseshoe", 1000)
    assert not table.loc["horseshoe: c2", "inside_envelope"]


# --- command line --------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("few_fresh_draws")
def test_simulate_writes_the_table_that_it_prints(place: Path) -> None:
    shown = invoke("simulate", "sbc", "--invariance", "--replications", "150", "--seed", "8")
    folder = place / "runs" / "simulate-sbc"
    table = pd.read_csv(folder / "tables" / "sbc.csv")
    record = json.loads((folder / "run.json").read_text())
    expected = bc.invariance_test(replications=150, seed=8)
    pd.testing.assert_frame_equal(table, expected, rtol=1e-12)
    assert shown.exit_code == (0 if table["inside_envelope"].all() else 3)
    assert record["diagnostics"]["trusted"] is bool(table["inside_envelope"].all())
    assert record["command"] == "simulate sbc --invariance"
    assert record["seed"] == 8
    assert record["settings"]["replications"] == 150
    for row in table.to_dict("records"):
        line = f"{row['quantity']} +{row['distance']:.4f} +{row['p_value']:.2g} "
        assert re.search(line.replace("|", r"\|"), shown.stdout), line
    assert shown.stdout.startswith("Is the Gibbs sampler right?")
    assert shown.stdout.splitlines()[-1].endswith("run folder: runs/simulate-sbc")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 110


@pytest.mark.usefixtures("few_fresh_draws")
def test_json_holds_the_same_numbers_and_quiet_prints_none(place: Path) -> None:
    arguments = ["simulate", "sbc", "--invariance", "--replications", "100"]
    printed = json.loads(invoke(*arguments, "--json", "--out", "one").stdout)
    table = pd.read_csv(place / "one" / "tables" / "sbc.csv")
    pd.testing.assert_frame_equal(pd.DataFrame(printed["table"]), table, rtol=1e-12)
    assert printed["quantities"] == len(table) == 30
    assert printed["smallest_p_inside"] == pytest.approx(0.05 / 30)
    assert invoke(*arguments, "--quiet", "--out", "two").stdout == ""
    assert (place / "two" / "tables" / "sbc.csv").read_bytes() == (
        place / "one" / "tables" / "sbc.csv"
    ).read_bytes()


def test_a_sampler_that_fails_is_named_and_status_is_3(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"quantity": "a: tau", "replications": 9, "p_value": p, "distance": 0.1, "variant": "a"}
        for p in (0.9, 0.001)
    ]
    table = recovery.with_envelope(rows)
    monkeypatch.setattr(recovery, "invariance_test", lambda **_: table)
    result = invoke("simulate", "sbc", "--invariance")
    assert result.exit_code == 3
    assert "1 of 2 quantities have P below 0.05 / 2 = 0.025: the sampler fails" in result.stdout
    assert "a: tau: distance 0.100, P 0.001" in result.stderr
    record = json.loads((place / "runs" / "simulate-sbc" / "run.json").read_text())
    assert record["diagnostics"]["trusted"] is False


BAD = {
    "coverage": (["coverage", "--invariance"], "--invariance: has no effect on simulate coverage"),
    "misspelt": (["sbd", "--invariance"], 'found "sbd"; allowed: "sbc".*did you mean "sbc"'),
    "a study": (["sbc", "pep", "--invariance"], 'takes no study: found "pep"; leave it out'),
    "few": (["sbc", "--invariance", "--replications", "99"], "found 99; allowed: .* from 100 to"),
    "many": (["sbc", "--invariance", "--replications", "9" * 30], "allowed: .* to 1,000,000"),
    "no number": (["sbc", "--invariance", "--replications", "x"], "--replications"),
    "seed": (["sbc", "--invariance", "--seed=-1"], "seed: found -1"),
    "cores": (["sbc", "--invariance", "--cores", "0"], "cores: found 0; at least 1 is needed"),
    "exists": (["sbc", "--invariance", "--out", "thesis"], "thesis exists; give --overwrite"),
    "no run": (["sbc", "--invariance", "--out", "thesis", "--overwrite"], "is no run folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_simulated_is_refused_and_nothing_is_written(place: Path, case: str) -> None:
    (place / "thesis").mkdir()
    (place / "thesis" / "chapter").write_text("1")
    arguments, text = BAD[case]
    result = invoke("simulate", *arguments)
    assert result.exit_code == 2, result.output
    assert re.search(text, result.stderr, re.DOTALL), result.stderr
    assert result.stdout == ""
    assert [path.name for path in place.rglob("*")] == ["thesis", "chapter"]


def test_all_impossible_numbers_are_named_at_once() -> None:
    with pytest.raises(bc.OptionError) as caught:
        bc.invariance_test(replications=True, seed=0.5, sweeps=0, cores=0)  # type: ignore[arg-type]
    assert len(caught.value.problems) == 4


@pytest.mark.interrupt
def test_interruption_is_heard_at_once_and_leaves_nothing(place: Path) -> None:
    script = "from bayes_cmvt.cli import main; main()"
    arguments = ["simulate", "sbc", "--invariance", "--replications", "1000000", "--cores", "2"]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        # whoever starts the tests in the background has them ignore the signal
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(8)
    assert process.poll() is None
    asked = time.perf_counter()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert time.perf_counter() - asked < 4  # seconds, on a machine that is busy with other things
    assert process.returncode == 130, errors
    assert "interrupted; nothing was written" in errors
    assert output == ""
    assert list(place.iterdir()) == []
