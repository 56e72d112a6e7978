"""Figure of a simulation-based calibration: read back from what was drawn."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.sbc import plot_sbc
from tests.test_figures_roc import assert_room, words_of

OTHERS = {
    "tau": "Global scale τ",
    "alpha": "Intercept α",
    "log_lik": "Log-likelihood",
    "risk[far]": "Risk of a patient far from it",
}
HOSTILE = [
    "<script>alert(1)</script>",
    "a $x$ b $ c",
    "long " * 60,
    'quotes " and &amp; and \\frac{1}{2}',
    "=SUM(A1)",
    "年龄",
]
RANKS, TOTAL = 10, 200
SHIFT = np.array([15, 5, 0, 0, 0, 0, 0, 0, -5, -15])  # too many low ranks, too few high ones


def sbc_tables(coefficients=6, outside=(), labels=None):
    """Even ranks, and shifted ones where a quantity is outside."""
    called = labels or [f"Predictor number {k}" for k in range(coefficients)]
    found = {"tau": OTHERS["tau"]} | {f"|beta[x{k}]|": called[k] for k in range(coefficients)}
    found |= {name: label for name, label in OTHERS.items() if name not in found}
    inside = [name not in outside for name in found]
    sbc = pd.DataFrame({"quantity": list(found), "label": list(found.values())})
    p = np.linspace(0.2, 0.9, len(found))
    sbc["p_value"] = np.where(inside, p, 1e-5 * (1 + np.arange(len(found))))
    sbc = sbc.assign(inside_envelope=inside, replications=TOTAL, quantities=len(found))
    up_to = TOTAL / RANKS * np.arange(1, RANKS + 1)
    width = 8 * np.sqrt(np.arange(1, RANKS + 1) * np.arange(RANKS - 1, -1, -1))
    parts = [
        pd.DataFrame({"quantity": name, "rank": np.arange(RANKS)}).assign(
            count=TOTAL / RANKS + SHIFT * (name in outside),
            envelope_lower=up_to - width / 6,
            envelope_upper=up_to + width / 6,
        )
        for name in found
    ]
    return sbc, pd.concat(parts, ignore_index=True)


BAD = ("tau", "|beta[x1]|", "|beta[x4]|")


@functools.cache  # nothing here changes a figure
def drawn(width=None, outside=BAD, coefficients=6):
    return plot_sbc(*sbc_tables(coefficients, outside), width_mm=width)


@pytest.mark.parametrize("asked", [(), (None, ()), (85,)])
def test_texts_have_room(asked):
    assert_room(drawn(*asked))


@pytest.mark.parametrize("width", [85, 175])
def test_labels_of_any_kind_are_text_and_have_room(width):
    tables = sbc_tables(6, [f"|beta[x{k}]|" for k in range(6)], HOSTILE)
    figure = plot_sbc(*tables, width_mm=width)
    assert_room(figure)
    assert "a $x$ b $ c" in words_of(figure)
    save_bytes(figure, "svg")  # a letter without a glyph would warn, and warnings are errors


def test_curves_are_shares_up_to_a_rank_less_what_is_expected():
    figure = drawn()
    assert len(figure.axes) == len(OTHERS) + 1
    tau, alpha = figure.axes[:2]
    at = np.arange(RANKS + 1) / RANKS
    np.testing.assert_allclose(tau.lines[-1].get_xdata(), at)
    off = np.append(0, np.cumsum(SHIFT)) / TOTAL
    np.testing.assert_allclose(tau.lines[-1].get_ydata(), off, atol=1e-12)
    np.testing.assert_allclose(alpha.lines[-1].get_ydata(), 0, atol=1e-12)
    colours = [axes.lines[-1].get_color() for axes in (tau, alpha)]
    assert colours == [style.MARKS[3].colour, style.INK]
    band = alpha.collections[0].get_paths()[0].vertices[:, 1]
    ranks = sbc_tables()[1]
    reach = (ranks["envelope_upper"] - 20 * (ranks["rank"] + 1)).max() / TOTAL
    assert (band.min(), band.max()) == pytest.approx((-reach, reach))
    low, high = alpha.get_ylim()
    assert low < -reach < reach < high


def test_coefficients_share_the_last_panel_and_those_outside_are_named():
    figure = drawn()
    last = figure.axes[-1]
    assert len(last.lines) == 6 + 1  # and the middle
    words = words_of(figure)
    assert "6 coefficients, size of each" in words
    assert "Predictor number 1" in words
    assert "Predictor number 4" in words
    assert "Predictor number 2" not in words
    assert "smallest P < 0.001" in words
    thick = [line for line in last.lines if line.get_linewidth() >= 1]
    assert len({(line.get_color(), line.get_linestyle()) for line in thick}) == len(thick) == 2


def test_of_many_outside_the_first_are_named_and_the_rest_counted():
    outside = tuple(f"|beta[x{k}]|" for k in range(30))
    words = words_of(drawn(outside=outside, coefficients=30))
    assert [word for word in words if word.startswith("Predictor")] == [
        f"Predictor number {k}" for k in range(4)
    ]
    assert "26 more outside" in words


def test_legend_and_note_tell_the_number_and_the_limit():
    words = words_of(drawn())
    assert "where a right sampler stays, all 10 quantities at once" in words
    assert "outside of it" in words
    assert words[-1] == (
        "200 simulated data sets; 3 of 10 quantities outside the envelope (P below 0.005)."
    )
    assert "P < 0.001" in words
    fine = words_of(drawn(None, ()))
    assert "outside of it" not in fine
    assert "P 0.20" in fine


def test_signed_coefficients_are_not_called_sizes_and_none_leave_no_panel():
    sbc, ranks = sbc_tables(2)
    signed = {"|beta[x0]|": "beta[x0]"}
    tables = [table.assign(quantity=table["quantity"].replace(signed)) for table in (sbc, ranks)]
    assert "2 coefficients" in words_of(plot_sbc(*tables))
    assert len(plot_sbc(*sbc_tables(0)).axes) == len(OTHERS)


def test_tables_that_cannot_be_drawn_are_refused():
    sbc, ranks = sbc_tables()
    with pytest.raises(OptionError, match=r"'sbc' cannot be drawn(.|\n)*'p_value'"):
        plot_sbc(sbc.drop(columns="p_value"), ranks)
    with pytest.raises(OptionError, match=r"'sbc_ranks' cannot(.|\n)*'envelope_upper'"):
        plot_sbc(sbc, ranks.drop(columns="envelope_upper"))
    with pytest.raises(OptionError, match="it has no rows"):
        plot_sbc(sbc.iloc[:0], ranks)
