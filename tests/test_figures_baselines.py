"""The five most important figures look as they did when somebody last looked at them.

What they show is held by the tests of each figure; this holds how it looks: sizes, colours, places.
Then what figures laid out in rows of panels share: files, headlines, letters, greys.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.calibration import plot_calibration
from bayes_cmvt.figures.comparison import plot_compare_coefficients, plot_compare_risks
from bayes_cmvt.figures.decision_curve import plot_decision_curve
from bayes_cmvt.figures.diagnostics import plot_diagnostics
from bayes_cmvt.figures.predictive_checks import plot_predictive_checks
from bayes_cmvt.figures.sensitivity import plot_sensitivity
from tests import (
    image_baseline,
    test_figures_calibration,
    test_figures_comparison,
    test_figures_decision_curve,
    test_figures_diagnostics,
    test_figures_predictive_checks,
    test_figures_roc,
    test_figures_sensitivity,
)
from tests.image_baseline import FOLDER, TOLERANCE, assert_looks_as_stored
from tests.test_figures_selection import with_font

FIGURES = {
    "calibration": lambda: test_figures_calibration.drawn(),
    "decision_curve": lambda: test_figures_decision_curve.drawn(),
    "roc": lambda: test_figures_roc.drawn(),
    "compare_coefficients": lambda: plot_compare_coefficients(
        test_figures_comparison.coefficient_table(8)
    ),
    "compare_risks": lambda: plot_compare_risks(
        test_figures_comparison.risk_table({"development": 40, "validation": 20}, patients=5),
        (0.05, 0.4),
    ),
}
LARGEST = 60_000  # bytes of a stored picture


@pytest.mark.parametrize("name", FIGURES)
def test_the_most_important_figures_look_as_stored(name, tmp_path):
    assert_looks_as_stored(FIGURES[name](), name, tmp_path)


def test_stored_pictures_are_small_and_all_of_them_are_compared():
    stored = {path.stem: path.stat().st_size for path in FOLDER.glob("*.png")}
    assert set(stored) == set(FIGURES)
    assert max(stored.values()) < LARGEST


@pytest.fixture
def nothing_renewed(monkeypatch):
    """Altered figures are compared and never stored, also where the others are renewed."""
    monkeypatch.delenv(image_baseline.RENEW, raising=False)


def altered(change):
    """A decision curve of its own, one thing in it changed."""
    figure = plot_decision_curve(test_figures_decision_curve.benefit_table())
    change(figure)
    return figure


@pytest.mark.usefixtures("nothing_renewed")
@pytest.mark.parametrize(
    "change",
    [
        lambda figure: figure.axes[0].lines[0].remove(),
        lambda figure: figure.axes[0].collections[0].remove(),
        lambda figure: figure.axes[0].lines[0].set_color("red"),
        lambda figure: figure.axes[0].set_ylim(-0.1, 0.5),
        lambda figure: figure.legends[0].get_texts()[0].set_text("horseshoo"),
    ],
    ids=["no line", "no band", "another colour", "another axis", "another letter"],
)
def test_a_change_that_a_reader_sees_is_noticed(change, tmp_path):
    with pytest.raises(AssertionError, match=r"decision_curve differs by (.|\n)*RENEW_FIGURES=1"):
        assert_looks_as_stored(altered(change), "decision_curve", tmp_path)
    assert (tmp_path / "decision_curve.png").exists()


@pytest.mark.usefixtures("nothing_renewed")
def test_another_size_and_a_picture_that_is_missing_are_named(tmp_path):
    narrow = test_figures_decision_curve.drawn(width=85)
    with pytest.raises(AssertionError, match=r"decision_curve is now \d+ x \d+ dots, stored are"):
        assert_looks_as_stored(narrow, "decision_curve", tmp_path)
    with pytest.raises(AssertionError, match=r"no picture .*nothing\.png is stored"):
        assert_looks_as_stored(narrow, "nothing", tmp_path)


def test_a_picture_is_stored_anew_where_this_is_asked_for(tmp_path, monkeypatch):
    """In few colours: it is not the same, but passes."""
    monkeypatch.setattr(image_baseline, "FOLDER", tmp_path / "stored")
    monkeypatch.setenv(image_baseline.RENEW, "1")
    figure = test_figures_roc.drawn()
    assert_looks_as_stored(figure, "roc", tmp_path)
    with Image.open(tmp_path / "stored" / "roc.png") as opened:
        stored = np.asarray(opened.convert("RGB"), dtype=float)
    drawn = np.asarray(image_baseline.rendered(figure), dtype=float)
    assert 0 < image_baseline.difference(drawn, stored) < TOLERANCE


# --- what all figures of these families share ---------------------------------------------------


def test_a_tiff_has_the_dots_of_the_png_no_transparency_and_the_same_bytes_each_time():
    figure = test_figures_decision_curve.drawn()
    kept = save_bytes(figure, "tiff", dpi=150)
    assert kept == save_bytes(figure, "tiff", dpi=150)
    with Image.open(io.BytesIO(kept)) as tiff:
        assert (tiff.format, tiff.mode, tiff.info["compression"]) == ("TIFF", "RGB", "tiff_lzw")
        assert tiff.info["dpi"] == pytest.approx((150, 150))
        dots = np.asarray(tiff)
    with Image.open(io.BytesIO(save_bytes(figure, "png", dpi=150))) as png:
        np.testing.assert_array_equal(dots, np.asarray(png.convert("RGB")))


@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_a_figure_drawn_anew_has_the_same_bytes(kind):
    table = test_figures_decision_curve.benefit_table()
    first = save_bytes(test_figures_decision_curve.drawn(), kind)
    assert first == save_bytes(plot_decision_curve(table), kind)


def test_a_headline_moves_panels_legends_and_notes_together():
    """A run that cannot be trusted is marked on every figure."""
    table = test_figures_calibration.performance_table()
    curves = test_figures_calibration.calibration_table()
    figure = plot_calibration(curves, None, None, table)
    style.add_headline(figure, "The draws cannot be trusted: do not use this figure")
    test_figures_roc.assert_room(figure)


def test_letters_of_another_script_are_drawn_in_headings_rows_and_legends(monkeypatch, tmp_path):
    """With a font that has them; a letter without a glyph would warn, and warnings are errors."""
    with_font(monkeypatch, tmp_path, "年龄（岁）")
    label = {"tau": "年龄（岁）"}
    ranks = test_figures_diagnostics.rank_table(label)
    ess = test_figures_diagnostics.ess_table(label)
    figure = plot_diagnostics(ranks, ess, test_figures_diagnostics.k_table())
    assert test_figures_roc.words_of(figure).count("年龄（岁）") == 2
    save_bytes(figure, "svg")
    checks = test_figures_predictive_checks.check_table(labels=["年龄（岁）: 1"])
    events = test_figures_predictive_checks.event_table()
    rows = plot_predictive_checks(checks, events).axes[-1].get_yticklabels()
    assert rows[0].get_text() == "年龄（岁）: 1"
    fits = test_figures_sensitivity.fit_table().replace("normal, scale 2.5 per SD", "年龄")
    save_bytes(plot_sensitivity(test_figures_sensitivity.power_table(), None, fits), "svg")


def test_figures_keep_to_the_greys_when_colours_are_gone():
    """Models differ by line as well: the same curves in grey have three different dashes."""
    figure = test_figures_roc.drawn()
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() == 1.2]
    assert len({str(line._dash_pattern) for line in thick}) == 3
    marks = style.marks(len(style.MARKS))
    assert len({mark.marker for mark in marks}) == len({str(mark.line) for mark in marks}) == 7
