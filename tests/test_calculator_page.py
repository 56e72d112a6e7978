"""The calculator page in headless Chromium: what a user sees and does, against `predict`."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_cmvt as bc
from bayes_cmvt.cohort import Cohort
from bayes_cmvt.report.calculator import SCRIPTS, calculator_page, quantised
from bayes_cmvt.report.model_file import (
    DeployedModel,
    DeployedPredictor,
    deployed_model,
    template_text,
)
from bayes_cmvt.study import parse_study
from bayes_cmvt.synthetic import NOTICE
from tests.baseline_study import STUDY, patients
from tests.browser import Connection, Page, browser, new_page
from tests.estimate_fit import drawn_posterior
from tests.test_model_file import FITS, small_model

SHOWN = 0.01  # percentage points; draws are off by half a step of 16 bits
UNROUNDED = re.compile(r"-?\d+\.\d+")
SET_PROFILES = """(profiles) => profiles.map((profile) => {
  inputs.forEach((box, i) => {
    const text = field(box);
    if (text) text.value = profile[i];
    else box.querySelector(`[value="${profile[i]}"]`).checked = true;
  });
  update();
  return byId("unrounded").textContent;
})"""
type Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium_browser() -> Iterator[Connection]:
    with browser() as connection:
        yield connection


@pytest.fixture
def opened(chromium_browser: Connection, tmp_path: Path) -> Open:
    """Opens the calculator of a model in a tab of its own, from a file."""

    def open_page(model: DeployedModel) -> Page:
        file = tmp_path / "calculator.html"
        file.write_text(calculator_page(model).html, encoding="utf-8")
        page = new_page(chromium_browser)
        page.open(file)
        return page

    return open_page


@pytest.fixture
def pep_page(opened: Open, pep_fit: xr.DataTree, pep_cohort: Cohort) -> Page:
    return opened(deployed_model(pep_fit, pep_cohort))


def risks_of(page: Page, profiles: list[list[str]]) -> np.ndarray:
    """Risk and limits that the page shows for each profile, in per cent."""
    shown = page.run(f"({SET_PROFILES})({json.dumps(profiles)})")
    return np.array([[float(number) for number in UNROUNDED.findall(line)] for line in shown])


def random_profiles(
    model: DeployedModel, count: int, seed: int
) -> tuple[list[list[str]], pd.DataFrame]:
    """Values as a user types them, or codes of levels; and the same as rows for `predict`."""
    rng = np.random.default_rng(seed)
    typed, rows = [], []
    for _ in range(count):
        texts, row = [], {}
        for one in model.predictors:
            if one.levels:
                code = int(rng.integers(len(one.levels)))
                texts.append(str(code))
                row[one.name] = one.levels[code]
            else:
                text = f"{rng.uniform(*one.limits):.3f}"
                texts.append(text)
                row[one.name] = text
        typed.append(texts)
        rows.append(row)
    return typed, pd.DataFrame(rows)


def complaints(page: Page) -> list[Any]:
    """Exceptions, and whatever the console heard."""
    return page.heard("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


def type_into(page: Page, selector: str, text: str) -> None:
    """Select what an input holds and type over it."""
    page.focus(selector)
    page.run(f"document.querySelector({json.dumps(selector)}).select()")
    page.press("Backspace")
    page.type(text)


# --- The same risks as predict -------------------------------------------------------------------


@pytest.mark.page
def test_risks_of_200_random_profiles_are_those_of_predict(
    pep_page: Page, pep_fit: xr.DataTree, pep_cohort: Cohort
) -> None:
    typed, rows = random_profiles(deployed_model(pep_fit, pep_cohort), 200, seed=3)
    expected = 100 * bc.predict(pep_fit, rows)[["risk", "lower", "upper"]].to_numpy()
    np.testing.assert_allclose(risks_of(pep_page, typed), expected, atol=SHOWN)
    assert complaints(pep_page) == []


@pytest.mark.page
@pytest.mark.parametrize("name", FITS)
def test_every_kind_of_predictor_and_of_fit_has_the_risks_of_predict(
    opened: Open, name: str
) -> None:
    model = small_model(name, ci_prob=0.9)
    typed, rows = random_profiles(model, 60, seed=4)
    others = patients(60).drop(columns=[one.name for one in model.predictors])
    expected = bc.predict(FITS[name](), rows.join(others), ci_prob=0.9)
    shown = [column for column in ("risk", "lower", "upper") if expected[column].notna().all()]
    page = opened(model)
    np.testing.assert_allclose(risks_of(page, typed), 100 * expected[shown], atol=SHOWN)
    assert ("no interval" in page.text(".headline")) == (name == "estimate")
    assert not re.search("NaN|undefined|Infinity", page.text())
    assert complaints(page) == []


@pytest.mark.page
def test_a_user_at_the_keyboard_reads_the_risk_of_predict(
    pep_page: Page, pep_fit: xr.DataTree, pep_cohort: Cohort
) -> None:
    """Tab from the page's top through the inputs; type, choose with arrow keys, move a step."""
    page, model = pep_page, deployed_model(pep_fit, pep_cohort)
    common = [str(int(one.default)) for one in model.predictors]
    page.focus("#print")
    page.press("Tab")
    assert page.run("document.activeElement.id") == "p0"
    page.run("document.activeElement.select()")
    page.type("63")
    page.press("ArrowUp")
    page.press("Tab")
    page.press("ArrowRight")  # the sex that is not the most frequent one
    sex = page.run("document.activeElement.value")
    row = {
        one.name: one.levels[int(code)]
        for one, code in zip(model.predictors, common, strict=True)
        if one.levels
    }
    expected = bc.predict(
        pep_fit, pd.DataFrame([row | {"age": 64, "gender": model.predictors[1].levels[int(sex)]}])
    )
    shown = [float(number) for number in UNROUNDED.findall(page.text("#unrounded"))]
    np.testing.assert_allclose(
        shown, 100 * expected[["risk", "lower", "upper"]].iloc[0], atol=SHOWN
    )
    assert sex != common[1]
    assert "17 of 19 inputs still have their preset value" in page.text("#caveats")


# --- What a user is told -------------------------------------------------------------------------


@pytest.mark.page
def test_what_is_no_number_or_not_allowed_is_said_beside_the_input_and_no_risk_is_shown(
    opened: Open,
) -> None:
    text = STUDY.replace('name = "age"', 'name = "age"\nrange = [18, 110]')
    cohort = bc.load_cohort(parse_study(text), patients())
    page = opened(deployed_model(drawn_posterior(cohort), cohort))
    for selector, typed, message in (
        ("#p0", "6O", "“6O” is not a number; write it like"),
        ("#p0", "6,5", "“6,5” is not a number"),
        ("#p0", "150", "150 is outside what is allowed, 18 to 110."),
        ("#p1", "0", "0 cannot be used; the value must be above 0."),
        ("#p1", "-3", "-3 cannot be used; the value must be above 0."),
        ("#p5", "1e300", "1e300 is too far from all that was studied to be computed."),
        ("#p5", "1e999", "1e999 is too far"),
    ):
        type_into(page, selector, typed)
        assert message in page.text(f"{selector}-message")
        assert (
            page.run(f"document.querySelector('{selector}').getAttribute('aria-invalid')") == "true"
        )
        label = page.text(f"label[for={selector[1:]}]")
        assert page.text(".headline").endswith(f"No risk is shown. Please correct: {label}.")
        assert page.run(
            "[...document.querySelectorAll('[data-result]')].every((one) => one.hidden)"
        )
        assert not re.search("NaN|undefined|Infinity", page.text())
        page.click("#reset")
        assert re.search(r"^\d+ %", page.text(".risk"))
    assert complaints(page) == []


@pytest.mark.page
def test_full_width_digits_of_an_input_method_are_digits(opened: Open) -> None:
    page = opened(small_model("horseshoe"))
    type_into(page, "#p0", "61.5")
    plain = page.text("#unrounded")
    type_into(page, "#p0", "６１．５")
    assert page.text("#unrounded") == plain


@pytest.mark.page
def test_a_value_outside_what_was_studied_warns_and_has_the_risk_of_predict(opened: Open) -> None:
    model = small_model("horseshoe")
    page = opened(model)
    type_into(page, "#p0", "104")
    row = {
        one.name: one.levels[int(one.default)] if one.levels else one.default
        for one in model.predictors
    }
    expected = bc.predict(FITS["horseshoe"](), pd.DataFrame([row | {"age": 104}])).iloc[0]
    low, high = (f"{limit:g}" for limit in model.predictors[0].limits)
    assert (
        page.text("#p0-message")
        == f"Outside what was studied ({low} to {high}): the risk is an extrapolation."
    )
    assert "Outside what was studied: age." in page.text("#caveats")
    assert "extrapolated: age" in page.text("#note")
    shown = [float(number) for number in UNROUNDED.findall(page.text("#unrounded"))]
    np.testing.assert_allclose(
        shown, 100 * expected[["risk", "lower", "upper"]].astype(float), atol=SHOWN
    )


@pytest.mark.page
def test_what_is_not_known_is_assumed_in_words(opened: Open) -> None:
    """An empty field and a choice of “not known” give the risk of the default, and say so."""
    model = small_model("horseshoe")
    page = opened(model)
    start = page.text("#unrounded")
    age, site = model.predictors[0], model.predictors[3]
    type_into(page, "#p0", "")
    page.click('[name=p3][value=""]')
    assert page.text("#unrounded") == start
    assert page.text("#p0-message") == f"Not known: {age.default:g} is assumed."
    frequent = site.levels[int(site.default)]
    assumed = f"age {age.default:g} (median); site {frequent} (most frequent)"
    assert f"Assumed, because not known: {assumed}." in page.text("#caveats")
    assert "The interval does not hold the uncertainty of these values." in page.text("#caveats")
    assert f"assumed: age {age.default:g}; site {frequent}" in page.text("#note")


@pytest.mark.page
def test_a_preset_counts_as_entered_once_enter_confirms_it(opened: Open) -> None:
    page = opened(small_model("horseshoe"))
    assert "6 of 6 inputs at their preset" in page.text("#note")
    page.focus("#p0")
    page.press("Enter")
    assert "5 of 6 inputs at their preset" in page.text("#note")


@pytest.mark.page
def test_a_threshold_that_nobody_chose_is_not_passed_off_as_one(
    opened: Open, pep_page: Page
) -> None:
    """The study of pep declares no threshold in use, the small one does."""
    assert "declares no threshold" in pep_page.text("#threshold-message")
    assert "threshold not chosen" in pep_page.text("#note")
    type_into(pep_page, "#threshold", "12")
    assert pep_page.text("#threshold-message") == ""
    assert "threshold not chosen" not in pep_page.text("#note")
    declared = opened(small_model("horseshoe"))
    assert declared.text("#threshold-message") == ""
    assert "threshold not chosen" not in declared.text("#note")


@pytest.mark.page
def test_the_sentence_for_the_notes_says_whether_the_decision_is_settled(
    pep_page: Page, pep_fit: xr.DataTree, pep_cohort: Cohort
) -> None:
    """Settled where the interval does not hold the threshold; P is a share of the draws."""
    page, model = pep_page, deployed_model(pep_fit, pep_cohort)
    row = [one.levels[int(one.default)] if one.levels else one.default for one in model.predictors]
    names = [one.name for one in model.predictors]
    found = bc.predict(pep_fit, pd.DataFrame([row], columns=names)).iloc[0]
    matrix = bc.design.design_matrix(
        bc.posterior.design_of(pep_fit),
        bc.cohort.load_new_patients(
            pep_cohort.study, pd.DataFrame([row], columns=names)
        ).predictors,
    )
    intercept, beta = bc.posterior.central_coefficients(pep_fit)
    risk = bc.posterior.expit(intercept + beta @ matrix[0])
    for threshold in (2, 11.5, 39):
        type_into(page, "#threshold", str(threshold))
        reached = float(np.mean(risk >= threshold / 100))
        words = {
            2: f"risk is above 2 %, P {certainty(reached)}",
            11.5: f"a decision at 11.5 % is not settled, P {certainty(reached)}",
            39: f"risk is below 39 %, P {certainty(1 - reached)}",
        }[threshold]
        limits = f"{100 * found['lower']:.0f} to {100 * found['upper']:.0f} %"
        risk_shown = f"Post-ERCP pancreatitis: risk {100 * found['risk']:.0f} %"
        expected = f"{risk_shown}, 95 % interval {limits}; {words}"
        assert page.text("#note").startswith(f"{expected} (19 of 19 inputs at their preset)")
    type_into(page, "#threshold", "60")
    assert page.text("#threshold-message") == (
        "Write a number from 2 to 40, the range of thresholds of this study."
    )
    assert page.text("#decision") == ""
    page.focus("#slider")
    page.press("ArrowRight")
    assert page.run("Math.abs(byId('threshold').value - 100 * byId('slider').value) < 1e-9")
    assert page.text("#threshold-message") == ""


def certainty(probability: float) -> str:
    if probability < 0.005 or probability > 0.995:
        return "< 0.01" if probability < 0.5 else "> 0.99"
    return f"= {probability:.2f}"


@pytest.mark.page
def test_dots_and_contributions_are_those_of_the_draws(opened: Open) -> None:
    """Full dots up to the lower limit, half ones to the upper; contributions by the closed form."""
    model, fit = small_model("horseshoe"), FITS["horseshoe"]()
    page = opened(model)
    type_into(page, "#p0", "75")
    page.click("[name=p3][value='2']")
    risk, lower, upper = (float(number) for number in UNROUNDED.findall(page.text("#unrounded")))
    counts = [
        page.run(f"document.querySelectorAll('#dots .{one}').length")
        for one in ("sure", "open", "rest")
    ]
    assert counts == [round(lower), round(upper) - round(lower), 100 - round(upper)]
    limits = f"{round(lower)} to {round(upper)}"
    sentence = f"Of 100 such patients, on average about {round(risk)} ({limits}) would have y."
    assert page.text("#dots-text") == sentence
    beta = fit["posterior"]["beta"].to_numpy()[0] / fit["constant_data"]["sd"].to_numpy()
    age, site = model.predictors[0], model.predictors[3]
    start = beta[:, 2 + int(site.default)] if site.default else 0.0
    effects = {"age": beta[:, 0] * (75 - age.default), "site": beta[:, 4] - start}
    rows = page.run(
        "[...byId('contributions').tBodies[0].rows]"
        ".map(({ cells }) => [cells[0].textContent, cells[2].textContent])"
    )
    order = sorted(effects, key=lambda name: -abs(effects[name].mean()))
    for (name, shown), expected in zip(rows, order, strict=True):
        assert name.startswith(expected)
        numbers = [float(one.replace("−", "-")) for one in re.findall(r"[+−]?\d+\.\d+", shown)]
        quantiles = np.quantile(effects[expected], [0.025, 0.975])
        np.testing.assert_allclose(numbers, [effects[expected].mean(), *quantiles], atol=0.0051)


@pytest.mark.page
def test_a_percentage_is_never_0_or_100(pep_page: Page) -> None:
    """Whole, with one decimal below 10 and next to 100, two below 1."""
    shown = {
        0.0: "<0.01",
        0.00003: "<0.01",
        0.0003: "0.03",
        0.0423: "4.2",
        0.09949: "9.9",
        0.0996: "10",
        0.18234: "18",
        0.9949: "99",
        0.9972: "99.7",
        0.99999: ">99.9",
        1.0: ">99.9",
    }
    found = pep_page.run(f"{json.dumps(list(shown))}.map((share) => percent(share))")
    assert found == list(shown.values())
    assert pep_page.run("[0.004, 0.997].map((limit) => percent(limit, 0))") == ["<1", ">99"]


@pytest.mark.page
def test_a_limit_is_never_rounded_onto_a_threshold_that_it_misses(pep_page: Page) -> None:
    """``9 to 20 %; risk is below 20 %`` would contradict itself."""
    assert pep_page.run("limitPercent(0.196, 0.2, 0)") == "19.6"
    assert pep_page.run("limitPercent(0.1998, 0.2, 0)") == "19.98"
    assert pep_page.run("limitPercent(0.2, 0.2, 0)") == "20"


# --- Languages, accessibility, print -------------------------------------------------------------


@pytest.mark.page
def test_both_languages_are_whole_and_fill_the_same_blanks(pep_page: Page) -> None:
    english, chinese = (json.loads(template_text(f"words.{one}.json")) for one in ("en", "zh"))
    assert english.keys() == chinese.keys()
    for key, words in english.items():
        blanks = [set(re.findall(r"\{(\w+)\}", one)) for one in (words, chinese[key])]
        assert blanks[0] == blanks[1] or blanks[1] < blanks[0], key
    used = set(
        re.findall(
            r'(?:say\("|\bwords\.|word\("|data-word=")(\w+)',
            "".join(map(template_text, (*SCRIPTS, "calculator.html"))),
        )
    )
    assert used - english.keys() <= {"en", "zh"}
    pep_page.click("#language")
    assert pep_page.run("document.documentElement.lang") == "zh"
    assert pep_page.text(".headline").startswith("Post-ERCP pancreatitis的风险")
    assert re.search(r"风险 \d+%，95% 可信区间 \d+%～\d+%；", pep_page.text("#note"))
    labels = [one["label"] for one in pep_page.run("page.model.predictors")]
    rest = pep_page.text()
    for foreign in (
        *labels,
        "Post-ERCP pancreatitis, indomethacin trial",
        "Post-ERCP pancreatitis",
        "indo_rct.csv",
        "years",
        "logistic",
        "log-odds",
        "English",
    ):
        rest = rest.replace(foreign, "")
    assert re.findall(r"[A-Za-z]{2,}", rest) == []
    pep_page.click("#language")
    assert pep_page.text("#print") == "Print"


@pytest.mark.page
def test_the_page_opens_in_the_language_of_the_study(opened: Open) -> None:
    page = opened(dataclasses.replace(small_model("baseline"), language="zh"))
    assert page.run("document.documentElement.lang") == "zh"
    assert "自助法" in page.text(".headline")
    assert "重抽样" in page.text("#about")


@pytest.mark.page
def test_every_control_has_a_name(opened: Open) -> None:
    model = small_model("horseshoe")
    many = dataclasses.replace(model.predictors[3], levels=("north", "east", "south", "west"))
    model = dataclasses.replace(
        model,
        predictors=(*model.predictors[:3], many, *model.predictors[4:5]),
        beta=model.beta[:, [0, 1, 2, 3, 4, 5, 5]],
    )
    named = opened(model).named_elements()
    controls = {
        "spinbutton",
        "radio",
        "combobox",
        "slider",
        "button",
        "group",
        "radiogroup",
        "textbox",
    }
    found = [(role, name) for role, name in named if role in controls]
    assert all(name.strip() for _, name in found), found
    assert {
        ("spinbutton", "age"),
        ("group", "sex"),
        ("combobox", "site"),
        ("slider", "Threshold, slider"),
    } <= {*found}
    assert ("radio", "not known") in found
    assert ("img", next(name for role, name in named if role in {"img", "image"})) is not None


@pytest.mark.page
def test_a_telephone_scrolls_down_only(pep_page: Page) -> None:
    for language in ("en", "zh"):
        pep_page.run(f"speak('{language}')")
        pep_page.width(360)
        assert pep_page.run("document.documentElement.scrollWidth") == 360
        below = pep_page.run("document.querySelector('.headline').getBoundingClientRect().bottom")
        assert below <= pep_page.run("innerHeight")  # the risk stays in sight


@pytest.mark.page
def test_one_printed_page_holds_the_values_and_no_buttons(pep_page: Page) -> None:
    type_into(pep_page, "#p0", "63")
    assert re.findall(rb"/Type /Pages?\b[^>]*?/Count (\d+)", pep_page.pdf()) == [b"1"]
    pep_page.call("Emulation.setEmulatedMedia", media="print")
    printed = pep_page.text()
    assert "63 years" in printed
    assert "Print" not in printed.splitlines()
    assert pep_page.run("getComputedStyle(document.querySelector('form')).display") == "none"


@pytest.mark.page
def test_the_sentence_is_copied_or_selected(pep_page: Page) -> None:
    pep_page.run(
        "Object.defineProperty(navigator, 'clipboard', {configurable: true,"
        " value: {writeText: async (text) => { window.got = text; }}})"
    )
    pep_page.click("#copy")
    assert pep_page.run("window.got") == pep_page.run("byId('note').textContent")
    assert pep_page.text("#copied") == "Copied."
    pep_page.run("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    pep_page.click("#copy")
    assert pep_page.run("String(getSelection())").strip() == pep_page.text("#note")
    assert pep_page.text("#copied") == "Selected; copy it with Ctrl+C."


# --- Strangers' words, no network, no size -------------------------------------------------------

EVIL = "</script><img src=x onerror=alert(1)>"


@pytest.mark.page
def test_strangers_words_are_text(opened: Open) -> None:
    """In labels, units, levels, title, outcome, horizon, file name and diagnostics."""
    evil = f'{EVIL}"\u2028{{{{ 7 * 7 }}}}<!--'
    model = small_model("horseshoe")
    strange = [
        dataclasses.replace(
            one, label=evil, unit=evil, levels=tuple(f"{evil}{k}" for k in range(len(one.levels)))
        )
        for one in model.predictors
    ]
    page = opened(
        dataclasses.replace(
            model,
            predictors=tuple(strange),
            title=evil,
            outcome=evil,
            horizon=evil,
            source=evil,
            problems=(evil,),
            model=evil,
        )
    )
    assert page.run("document.images.length") == 0
    assert page.run("document.title").startswith(EVIL)
    assert page.text("h1").startswith(EVIL)
    assert EVIL in page.text("label[for=p0]")
    assert "{{ 7 * 7 }}" in page.text("#note")
    page.click("#language")
    assert complaints(page) == []
    assert [one for one in page.heard("Page.javascriptDialogOpening")] == []


@pytest.mark.page
def test_nothing_but_the_file_is_asked_for(pep_page: Page) -> None:
    """Whatever is done on the page; and what a script tries is refused by the content policy."""
    type_into(pep_page, "#p0", "63")
    for button in ("#language", "#copy", "#reset"):
        pep_page.click(button)
    asked = [one["request"]["url"] for one in pep_page.heard("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [pep_page.run("location.href")]
    assert complaints(pep_page) == []
    refused = pep_page.run("fetch('http://127.0.0.1:9/').then(() => 'sent', (error) => error.name)")
    assert refused == "TypeError"
    blocked = pep_page.heard("Log.entryAdded")[-1]["entry"]["text"]
    assert "Content Security Policy" in blocked


@pytest.mark.page
def test_synthetic_patients_and_failed_diagnostics_stand_above_the_result(opened: Open) -> None:
    model = dataclasses.replace(small_model("horseshoe"), notice=NOTICE, problems=("R-hat 1.4",))
    page = opened(model)
    assert page.text("#synthetic") == NOTICE
    assert "Do not rely on these numbers" in page.text("#untrusted")
    assert "R-hat 1.4" in page.text("#untrusted")
    assert page.text("#note").endswith(
        "[model of SYNTHETIC patients] [diagnostics of the model failed: not to be relied on]"
    )
    page.click("#language")
    assert "合成数据" in page.text("#synthetic")
    assert "未通过诊断检查" in page.text("#untrusted")


@pytest.mark.page
def test_a_printed_model_says_at_which_event_share_it_is_anchored(opened: Open) -> None:
    share = (0.3661, "82 events of 224 patients, assumed by the study")
    model = small_model("baseline")
    page = opened(dataclasses.replace(model, interval_kind="printed", event_share=share))
    assert page.text("#event-share").endswith(f"mean risk of the patients is 37 % ({share[1]}).")
    assert "interval from the printed errors" in page.text(".headline")
    assert "60 draws from their printed standard errors" in page.text("#about")
    page.click("#language")
    assert "平均风险为 37%" in page.text("#event-share")


@pytest.mark.page
def test_no_and_yes_stand_for_0_and_1_unless_the_label_says_what_0_is(opened: Open) -> None:
    model = small_model("horseshoe")
    labels = ("age", "marker", "Sex (0 male, 1 female)", "site", "grade", "noise")
    pairs = zip(model.predictors, labels, strict=True)
    labelled = tuple(dataclasses.replace(one, label=label) for one, label in pairs)
    plain = opened(model)
    assert plain.text("[data-predictor='2'] .choices").split() == ["no", "yes", "not", "known"]
    assert "“no” is the value 0 of the data, “yes” the value 1." in plain.text("form")
    coded = opened(dataclasses.replace(model, predictors=labelled))
    assert coded.text("[data-predictor='2'] .choices").split() == ["0", "1", "not", "known"]
    assert "is the value 0" not in coded.text("form")


@pytest.mark.page
def test_a_model_without_predictors_has_one_risk(opened: Open) -> None:
    model = small_model("horseshoe")
    nobody = dataclasses.replace(
        model, predictors=(), terms=(), mean=np.empty(0), sd=np.empty(0), beta=np.empty((400, 0))
    )
    page = opened(nobody)
    risk = 100 / (1 + np.exp(-nobody.intercept))
    shown = [float(number) for number in UNROUNDED.findall(page.text("#unrounded"))]
    np.testing.assert_allclose(shown, [risk.mean(), *np.quantile(risk, [0.025, 0.975])], atol=SHOWN)
    assert "the risk is the same for everybody" in page.text("form")
    once = dataclasses.replace(nobody, intercept=np.empty(0), beta=np.empty((0, 0)))
    once = dataclasses.replace(once, interval_kind="none", central=(-1.0, np.empty(0)))
    page = opened(once)
    assert page.text(".risk").split()[:2] == ["27", "%"]  # 1 / (1 + e)
    assert page.text("#note") == "y: risk 27 %, without an interval"
    assert page.text("#decision").startswith("The risk is below 30 %; how sure that is cannot")


def wide_model(columns: int, draws: int) -> DeployedModel:
    """A posterior of so many measurements and draws."""
    rng = np.random.default_rng(5)
    one = DeployedPredictor("x", "X", "", "continuous", "identity", (), (-2.0, 2.0), None, 0.0)
    return dataclasses.replace(
        small_model("horseshoe"),
        predictors=(one,) * columns,
        terms=("x",) * columns,
        mean=np.zeros(columns),
        sd=np.ones(columns),
        intercept=rng.normal(-1, 0.3, draws),
        beta=rng.normal(0, 0.2, (draws, columns)),
    )


def test_27_columns_of_16000_draws_fit_into_1_5_megabytes() -> None:
    page = calculator_page(wide_model(27, 16_000))
    assert len(page.html.encode()) < 1_500_000
    assert (page.draws, page.draws_of_model, page.notes) == (16_000, 16_000, ())


@pytest.mark.page
def test_draws_that_do_not_fit_are_thinned_and_the_page_says_so(opened: Open) -> None:
    model = wide_model(60, 20_000)
    page = calculator_page(model)
    assert len(page.html.encode()) < 1_500_000
    assert page.notes == (
        f"the calculator holds {page.draws:,} of 20,000 draws, evenly spaced, to stay small",
    )
    assert 8_000 < page.draws < 9_000
    tab = opened(model)
    assert f"The page holds {page.draws:,} of the 20,000 draws" in tab.text("#about")
    found = tab.run("[model.draws, model.codes.length, model.codes[60].length]")
    assert found == [page.draws, 61, page.draws]


def test_quantised_columns_are_off_by_half_a_step_at_most() -> None:
    columns = np.vstack([np.random.default_rng(1).normal(size=(3, 500)), np.full(500, 0.3)])
    low, step, codes = quantised(columns)
    decoded = low[:, np.newaxis] + step[:, np.newaxis] * codes
    assert (np.abs(decoded - columns) <= 0.5000001 * step[:, np.newaxis]).all()
    np.testing.assert_array_equal(decoded[3], 0.3)
    np.testing.assert_allclose(step[:3], np.ptp(columns[:3], axis=1) / 65535)


def test_the_page_carries_the_draws_little_endian_column_by_column() -> None:
    model = small_model("projection")
    content = re.search(r'id="model">(.*?)</script>', calculator_page(model).html)
    assert content is not None
    document = json.loads(content[1])
    codes = np.frombuffer(base64.b64decode(document["codes"]), "<u2").reshape(4, 400)
    low, step = (np.array(document["model"][name])[:, np.newaxis] for name in ("low", "step"))
    np.testing.assert_allclose((low + step * codes)[1:].T, model.beta, atol=step.max())
