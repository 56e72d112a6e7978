"""Risk of one patient: python risk.py model.json '{"age": 68, "sex": "female"}'."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

model, profile = json.loads(Path(sys.argv[1]).read_text("utf-8")), json.loads(sys.argv[2])
forward: dict[str, Any] = {"identity": float, "log": np.log, "log1p": np.log1p, "sqrt": np.sqrt}
names, x = [one["name"] for one in model["predictors"]], list[float]()
if unknown := profile.keys() - names:
    sys.exit(f"not in the model: {', '.join(sorted(unknown))}; allowed: {', '.join(names)}")
for one in model["predictors"]:  # what is not given has its default
    value = profile.get(one["name"], one["default"])
    measured, levels = one["kind"] == "continuous", one["levels"]
    low, high = one["range"] or (-np.inf, np.inf)
    if measured and not low <= float(value) <= high:
        sys.exit(f"{one['name']}: found {value}; allowed: {low} to {high}")
    if not measured and str(value) not in levels:
        sys.exit(f"{one['name']}: found {value}; allowed: {', '.join(levels)}")
    code = forward[one["transform"]](value) if measured else levels.index(str(value))
    categorical = one["kind"] == "categorical"
    x += [code == k for k in range(1, len(levels))] if categorical else [code]
z = np.array([(v - c["mean"]) / c["sd"] for v, c in zip(x, model["columns"], strict=True)])
if not np.isfinite(z).all():
    sys.exit("a value has no logarithm or root: no risk can be computed")
sets = [one for one in (model["draws"], model["central"]) if one is not None]
log_odds = [np.array(one["intercept"]) + z @ np.array(one["beta"]) for one in sets]
risks = [1 / (1 + np.exp(-one)) for one in log_odds]
levels = [(1 - model["interval"]) / 2, 1 - (1 - model["interval"]) / 2]
lower, upper = (None, None) if model["draws"] is None else np.quantile(risks[0], levels).tolist()
result = {"risk": float(np.mean(risks[-1])), "lower": lower, "upper": upper}
result |= {"assumed": [name for name in names if name not in profile], "notice": model["notice"]}
sys.stdout.write(json.dumps(result) + "\n")
