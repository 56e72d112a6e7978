"""Small studies and tables of patients that the tests share."""

import numpy as np
import pandas as pd

from bayes_cmvt.cohort import load_cohort
from bayes_cmvt.study import parse_study

HEADING = 'schema = 1\nname = "s"\ntitle = "S"\n'
OUTCOME = '[outcome]\ncolumn = "y"\nevent = 1\n'
X = '[[predictors]]\nname = "x"\nkind = "continuous"\n'


def predictor(name, kind="continuous", **keys):
    """One ``[[predictors]]`` table; values are TOML text."""
    lines = [f'[[predictors]]\nname = "{name}"\nkind = "{kind}"']
    return "\n".join([*lines, *(f"{key} = {value}" for key, value in keys.items())]) + "\n"


def study_text(predictors=X, rest="", heading=HEADING, outcome=OUTCOME):
    return heading + outcome + predictors + rest


def study(predictors=X, rest="", **parts):
    return parse_study(study_text(predictors, rest, **parts))


def patients(n=8, **columns):
    """A table of `n` patients, every other one with the event; x is 1, 2, …."""
    table = {"y": np.arange(n) % 2, "x": np.arange(1.0, n + 1)}
    return pd.DataFrame({**table, **columns})


def numeric_cohort(matrix, events=None, rest="", **keys):
    """A cohort with one continuous predictor x0, x1, … for each column of a matrix."""
    names = [f"x{j}" for j in range(matrix.shape[1])]
    frame = pd.DataFrame(matrix, columns=names)
    frame["y"] = np.arange(len(frame)) % 2 if events is None else np.arange(len(frame)) < events
    declared = "".join(predictor(name, **keys) for name in names)
    return load_cohort(study(declared, rest), frame.astype({"y": int}))


def assert_leading_axes_are_broadcast(metric, outcome, risk, weights, **tolerance):
    """Risks of shape (draw, 1, patient) and weights (replicate, patient), against one by one."""
    found = metric(outcome, risk, weights=weights)
    assert found.shape == (len(risk), len(weights))
    expected = [[metric(outcome, draw[0], weights=row) for row in weights] for draw in risk]
    np.testing.assert_allclose(found, expected, **tolerance)
    one_risk = metric(outcome, risk[0, 0], weights=weights)
    np.testing.assert_allclose(one_risk, found[0], **tolerance)
    one_weight = metric(outcome, risk[:, 0], weights=weights[0])
    np.testing.assert_allclose(one_weight, found[:, 0], **tolerance)
