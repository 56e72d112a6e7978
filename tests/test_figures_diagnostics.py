"""Figures of the diagnostics: read back from what was drawn."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import style
from bayes_cmvt.figures.diagnostics import plot_diagnostics
from tests.test_figures_roc import assert_room, words_of

QUANTITIES = {
    "intercept": "Intercept",
    "tau": "Global scale τ",
    "slab": "Slab scale c",
    "m_eff": "Effective number of coefficients",
    "log_lik": "Log-likelihood",
    "beta[age]": "Age",
    "beta[crp]": "Pre-operative CRP",
}
HOSTILE = {
    "tau": "<script>alert(1)</script>",
    "slab": "a $x$ b $ c",
    "m_eff": "long " * 60,
    "log_lik": 'quotes " and &amp; and \\frac{1}{2}',
    "beta[age]": "=SUM(A1)",
}
CHAINS, BINS, DRAWS = 4, 20, 1000


def rank_table(quantities=QUANTITIES, chains=CHAINS):
    """Chain 1 has a tenth too many draws in its first bin and as many too few in its last."""
    rows = []
    for quantity, label in quantities.items():
        for chain in range(1, chains + 1):
            draws = np.full(BINS, DRAWS / BINS)
            draws[[0, -1]] += np.array([5, -5]) * (chain == 1)
            edges = np.linspace(0, 1, BINS + 1)
            about = {"quantity": quantity, "label": label, "chain": chain}
            columns = {"rank_lower": edges[:-1], "rank_upper": edges[1:], "draws": draws}
            columns |= {"expected": DRAWS / BINS, "lower": 40.0, "upper": 60.0}
            rows.append(pd.DataFrame(about | columns))
    return pd.concat(rows, ignore_index=True)


def ess_table(quantities=QUANTITIES):
    used = np.arange(400, 4001, 400)
    tables = [
        pd.DataFrame({"quantity": quantity, "label": label, "draws": used, "needed": 400}).assign(
            ess_bulk=used * 0.5 - place, ess_tail=used * 0.7 - place
        )
        for place, (quantity, label) in enumerate(quantities.items())
    ]
    return pd.concat(tables, ignore_index=True)


def k_table(good_k=0.7):
    lower = np.arange(-2, 10) / 10
    patients = np.array([1, 4, 20, 30, 20, 9, 5, 3, 2, 2, 1, 1])
    bins = {"k_lower": lower, "k_upper": lower + 0.1, "patients": patients}
    return pd.DataFrame(bins).assign(good_k=good_k)


def energy_table():
    grid = np.linspace(-12, 12, 50)
    columns = {"energy": grid, "marginal": np.exp(-(grid**2) / 30) / 9.7}
    columns["transition"] = np.exp(-(grid**2) / 20) / 7.9
    tables = [pd.DataFrame({"chain": k, "bfmi": 0.9 - k / 10} | columns) for k in range(1, 5)]
    return pd.concat(tables, ignore_index=True)


def diagnostics_table():
    rhat = [1.0, 1.002, 1.013, 1.03, np.nan]
    gated = [True, True, True, False, False]
    return pd.DataFrame({"quantity": list("abcde"), "gated": gated, "rhat": rhat})


@functools.cache  # nothing here changes a figure
def drawn(width=None, energy=True, hostile=False):
    quantities = QUANTITIES | (HOSTILE if hostile else {})
    tables = rank_table(quantities), ess_table(quantities), k_table()
    energies = energy_table() if energy else None
    return plot_diagnostics(*tables, energies, diagnostics_table(), width_mm=width)


@pytest.mark.parametrize("width", [85, 175])
@pytest.mark.parametrize("energy", [True, False])
def test_texts_have_room(width, energy):
    assert_room(drawn(width, energy))


@pytest.mark.parametrize("width", [85, 175])
def test_labels_of_any_kind_are_text_and_have_room(width):
    figure = drawn(width, hostile=True)
    assert_room(figure)
    words = words_of(figure)
    assert "a $x$ b $ c" in words
    assert not any(text.get_parse_math() for text in figure.texts)
    style.save_bytes(figure, "svg")


def test_ranks_are_drawn_in_a_lane_for_each_chain_on_one_scale():
    figure = drawn()
    for axes in figure.axes[: len(QUANTITIES)]:
        assert [text.get_text() for text in axes.get_yticklabels()] == ["1", "2", "3", "4"]
        assert len(axes.collections) == 2 * CHAINS  # a band and a middle line each
        lanes = [patch.get_data() for patch in axes.patches]
        assert len(lanes) == CHAINS
        deviations = np.array([lane - lanes[lane].values for lane in range(CHAINS)])
        unit = deviations[0, 0]
        assert unit > 0  # more draws than expected stand above the middle of the lane
        np.testing.assert_allclose(deviations[0], [unit, *[0] * 18, -unit], atol=1e-12)
        np.testing.assert_allclose(deviations[1:], 0, atol=1e-12)
        bands = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert (bands.min(), bands.max()) == pytest.approx((-2 * unit, 2 * unit))


def test_effective_draws_of_each_quantity_and_what_the_gate_asks_of_the_bulk():
    figure = drawn()
    bulk, tail = figure.axes[len(QUANTITIES) : len(QUANTITIES) + 2]
    assert len(bulk.lines) == len(QUANTITIES) + 1
    assert len(tail.lines) == len(QUANTITIES)
    table = ess_table()
    for line, quantity in zip(bulk.lines, QUANTITIES, strict=False):
        own = table[table["quantity"].eq(quantity)]
        np.testing.assert_allclose(line.get_ydata(), own["ess_bulk"] / 1000, rtol=1e-14)
        np.testing.assert_allclose(line.get_xdata(), own["draws"] / 1000, rtol=1e-14)
    assert set(bulk.lines[-1].get_ydata()) == {0.4}
    assert len({line.get_marker() for line in tail.lines}) == len(QUANTITIES)
    words = words_of(figure)
    for label in QUANTITIES.values():
        assert label in words


def test_energy_is_left_out_where_the_sampler_has_none():
    assert len(drawn().axes) == len(drawn(energy=False).axes) + 1
    words = words_of(drawn())
    assert "lowest E-BFMI 0.50; 0.30 is needed" in words
    assert "Energy of NUTS" in words
    assert "Energy of NUTS" not in words_of(drawn(energy=False))


def test_rhat_of_every_quantity_with_those_that_the_gate_looks_at_counted():
    figure = drawn()
    axes = figure.axes[-2]
    strokes = [segment[0, 0] for each in axes.collections for segment in each.get_segments()]
    assert sorted(strokes) == [1.0, 1.002, 1.013, 1.03]
    low, high = axes.get_xlim()
    assert low < 1.0 < 1.03 < high
    assert "1 of 3 gated quantities at 1.01 or above" in words_of(figure)
    tables = rank_table(), ess_table(), k_table()
    assert len(plot_diagnostics(*tables).axes) == len(QUANTITIES) + 3


def test_patients_whose_k_is_too_large_are_hatched_and_counted():
    figure = drawn()
    bars = figure.axes[-1].patches
    hatched = [bar for bar in bars if bar.get_hatch()]
    assert [bar.get_height() for bar in hatched] == [2, 1, 1]
    assert sum(bar.get_height() for bar in bars) == k_table()["patients"].sum()
    assert "4 of 98 patients above 0.7" in words_of(figure)


def test_a_limit_within_a_bin_bounds_the_count():
    """Of the 2 patients in the bin from 0.6 to 0.7 it is not known who is above 0.64."""
    figure = plot_diagnostics(rank_table(), ess_table(), k_table(0.64))
    assert "at most 6 of 98 patients above 0.64" in words_of(figure)


@pytest.mark.parametrize("lowest", [-0.35, -0.1, -1.0])
def test_numbers_under_k_never_meet_on_a_narrow_page(lowest):
    lower = lowest + np.arange(11) / 10
    table = pd.DataFrame({"k_lower": lower, "k_upper": lower + 0.1, "patients": 9, "good_k": 0.7})
    assert_room(plot_diagnostics(rank_table(), ess_table(), table, width_mm=85))


def test_one_chain_and_one_quantity():
    one = {"tau": "Global scale τ"}
    figure = plot_diagnostics(rank_table(one, chains=1), ess_table(one), k_table())
    assert len(figure.axes) == 4
    assert_room(figure)


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match="'chain_ranks' cannot be drawn"):
        plot_diagnostics(rank_table().drop(columns="lower"), ess_table(), k_table())
    with pytest.raises(OptionError, match="'chain_ess' cannot be drawn"):
        plot_diagnostics(rank_table(), ess_table().iloc[:0], k_table())
    with pytest.raises(OptionError, match="'chain_energy' cannot be drawn"):
        plot_diagnostics(rank_table(), ess_table(), k_table(), energy_table().iloc[:0])
