"""Bayesian reanalysis of LASSO-logistic-nomogram studies.

>>> import bayes_cmvt as bc
>>> study = bc.load_study("pep")
>>> cohort = bc.load_cohort(study)
>>> cohort
Cohort of 602 patients with 79 events, study 'pep', indo_rct.csv

Then ``fit = bc.sample(cohort, seed=1)`` and ``bc.coefficients(fit)``. Names are imported when they
are first used, so that ``import bayes_cmvt`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_cmvt import metrics as metrics
    from bayes_cmvt.agreement import engine_agreement as engine_agreement
    from bayes_cmvt.baseline import fit_baseline as fit_baseline
    from bayes_cmvt.baseline_estimates import baseline_coefficients as baseline_coefficients
    from bayes_cmvt.classifier import LassoLogisticClassifier as LassoLogisticClassifier
    from bayes_cmvt.cohort import Cohort as Cohort
    from bayes_cmvt.cohort import flow_table as flow_table
    from bayes_cmvt.cohort import load_cohort as load_cohort
    from bayes_cmvt.comparison import Comparison as Comparison
    from bayes_cmvt.comparison import compare as compare
    from bayes_cmvt.comparison_words import comparison_paragraph as comparison_paragraph
    from bayes_cmvt.crossvalidation import leave_one_out as leave_one_out
    from bayes_cmvt.diagnostics import verdict as verdict
    from bayes_cmvt.errors import BayesCmvtError as BayesCmvtError
    from bayes_cmvt.errors import DataError as DataError
    from bayes_cmvt.errors import InputError as InputError
    from bayes_cmvt.errors import MetricError as MetricError
    from bayes_cmvt.errors import OptionError as OptionError
    from bayes_cmvt.errors import RunError as RunError
    from bayes_cmvt.errors import SamplingError as SamplingError
    from bayes_cmvt.errors import StudyError as StudyError
    from bayes_cmvt.estimates import coefficients as coefficients
    from bayes_cmvt.estimates import prior_odds_ratios as prior_odds_ratios
    from bayes_cmvt.evaluation import EvaluationSettings as EvaluationSettings
    from bayes_cmvt.evaluation import decision_curve as decision_curve
    from bayes_cmvt.evaluation import evaluate as evaluate
    from bayes_cmvt.figures.calibration import plot_calibration as plot_calibration
    from bayes_cmvt.figures.coefficients import plot_coefficients as plot_coefficients
    from bayes_cmvt.figures.comparison import plot_compare_coefficients as plot_compare_coefficients
    from bayes_cmvt.figures.comparison import plot_compare_risks as plot_compare_risks
    from bayes_cmvt.figures.coverage import plot_coverage as plot_coverage
    from bayes_cmvt.figures.coverage_coefficients import (
        plot_coverage_coefficients as plot_coverage_coefficients,
    )
    from bayes_cmvt.figures.decision_curve import plot_decision_curve as plot_decision_curve
    from bayes_cmvt.figures.diagnostics import plot_diagnostics as plot_diagnostics
    from bayes_cmvt.figures.flow import plot_flow as plot_flow
    from bayes_cmvt.figures.instability import plot_instability as plot_instability
    from bayes_cmvt.figures.nomogram import plot_nomogram as plot_nomogram
    from bayes_cmvt.figures.plug_in import plot_plug_in as plot_plug_in
    from bayes_cmvt.figures.predictive_checks import (
        plot_predictive_checks as plot_predictive_checks,
    )
    from bayes_cmvt.figures.replicated_selection import (
        plot_replicated_selection as plot_replicated_selection,
    )
    from bayes_cmvt.figures.roc import plot_roc as plot_roc
    from bayes_cmvt.figures.sbc import plot_sbc as plot_sbc
    from bayes_cmvt.figures.selection import plot_selection_path as plot_selection_path
    from bayes_cmvt.figures.selection import plot_selection_stability as plot_selection_stability
    from bayes_cmvt.figures.sensitivity import plot_sensitivity as plot_sensitivity
    from bayes_cmvt.figures.shrinkage import plot_shrinkage as plot_shrinkage
    from bayes_cmvt.figures.style import save_bytes as save_bytes
    from bayes_cmvt.glossary import define as define
    from bayes_cmvt.nomogram import nomogram_points as nomogram_points
    from bayes_cmvt.nomogram_scales import Nomogram as Nomogram
    from bayes_cmvt.prediction import predict as predict
    from bayes_cmvt.prediction import predictions as predictions
    from bayes_cmvt.prior_sensitivity import power_scaling as power_scaling
    from bayes_cmvt.prior_sensitivity import prior_alternatives as prior_alternatives
    from bayes_cmvt.profile import Profile as Profile
    from bayes_cmvt.profile import patient_profile as patient_profile
    from bayes_cmvt.published.printed_fit import printed_fit as printed_fit
    from bayes_cmvt.published.printed_table import read_published as read_published
    from bayes_cmvt.published.reanalysis import published_tables as published_tables
    from bayes_cmvt.reconstruction.synthetic_cohort import reconstruct as reconstruct
    from bayes_cmvt.recovery import invariance_test as invariance_test
    from bayes_cmvt.repetitions import SelectionSettings as SelectionSettings
    from bayes_cmvt.report.calculator import calculator_page as calculator_page
    from bayes_cmvt.report.model_file import deployed_model as deployed_model
    from bayes_cmvt.report.model_file import model_json as model_json
    from bayes_cmvt.runs import load_baseline as load_baseline
    from bayes_cmvt.runs import load_run as load_run
    from bayes_cmvt.runs import load_selection as load_selection
    from bayes_cmvt.sample_size import ExpectedFit as ExpectedFit
    from bayes_cmvt.sample_size import sample_size_table as sample_size_table
    from bayes_cmvt.sampling import sample as sample
    from bayes_cmvt.selection import select as select
    from bayes_cmvt.selection_estimates import selection_table as selection_table
    from bayes_cmvt.selection_rules import horseshoe_rules as horseshoe_rules
    from bayes_cmvt.simulation.coverage_study import simulate_coverage as simulate_coverage
    from bayes_cmvt.simulation.populations import file_population as file_population
    from bayes_cmvt.simulation.populations import scenario_population as scenario_population
    from bayes_cmvt.simulation.replicated_selection import (
        replicated_selection as replicated_selection,
    )
    from bayes_cmvt.simulation.sbc import simulate_sbc as simulate_sbc
    from bayes_cmvt.study import Study as Study
    from bayes_cmvt.study import load_study as load_study
    from bayes_cmvt.supplement import supplement_tables as supplement_tables
    from bayes_cmvt.updating import update_model as update_model
    from bayes_cmvt.workers import Workers as Workers


_SUBPACKAGES = ("metrics",)

_ROOMS = {
    "BayesCmvtError": "errors",
    "Cohort": "cohort",
    "Comparison": "comparison",
    "DataError": "errors",
    "EvaluationSettings": "evaluation",
    "ExpectedFit": "sample_size",
    "InputError": "errors",
    "LassoLogisticClassifier": "classifier",
    "MetricError": "errors",
    "Nomogram": "nomogram_scales",
    "OptionError": "errors",
    "Profile": "profile",
    "RunError": "errors",
    "SamplingError": "errors",
    "SelectionSettings": "repetitions",
    "Study": "study",
    "StudyError": "errors",
    "Workers": "workers",
    "baseline_coefficients": "baseline_estimates",
    "calculator_page": "report.calculator",
    "coefficients": "estimates",
    "compare": "comparison",
    "comparison_paragraph": "comparison_words",
    "decision_curve": "evaluation",
    "define": "glossary",
    "deployed_model": "report.model_file",
    "engine_agreement": "agreement",
    "evaluate": "evaluation",
    "file_population": "simulation.populations",
    "fit_baseline": "baseline",
    "flow_table": "cohort",
    "horseshoe_rules": "selection_rules",
    "invariance_test": "recovery",
    "leave_one_out": "crossvalidation",
    "load_baseline": "runs",
    "load_cohort": "cohort",
    "load_run": "runs",
    "load_selection": "runs",
    "load_study": "study",
    "model_json": "report.model_file",
    "nomogram_points": "nomogram",
    "patient_profile": "profile",
    "plot_calibration": "figures.calibration",
    "plot_coefficients": "figures.coefficients",
    "plot_compare_coefficients": "figures.comparison",
    "plot_compare_risks": "figures.comparison",
    "plot_coverage": "figures.coverage",
    "plot_coverage_coefficients": "figures.coverage_coefficients",
    "plot_decision_curve": "figures.decision_curve",
    "plot_diagnostics": "figures.diagnostics",
    "plot_flow": "figures.flow",
    "plot_instability": "figures.instability",
    "plot_nomogram": "figures.nomogram",
    "plot_plug_in": "figures.plug_in",
    "plot_predictive_checks": "figures.predictive_checks",
    "plot_replicated_selection": "figures.replicated_selection",
    "plot_roc": "figures.roc",
    "plot_sbc": "figures.sbc",
    "plot_selection_path": "figures.selection",
    "plot_selection_stability": "figures.selection",
    "plot_sensitivity": "figures.sensitivity",
    "plot_shrinkage": "figures.shrinkage",
    "power_scaling": "prior_sensitivity",
    "predict": "prediction",
    "predictions": "prediction",
    "printed_fit": "published.printed_fit",
    "prior_alternatives": "prior_sensitivity",
    "prior_odds_ratios": "estimates",
    "published_tables": "published.reanalysis",
    "read_published": "published.printed_table",
    "reconstruct": "reconstruction.synthetic_cohort",
    "replicated_selection": "simulation.replicated_selection",
    "sample": "sampling",
    "sample_size_table": "sample_size",
    "save_bytes": "figures.style",
    "scenario_population": "simulation.populations",
    "select": "selection",
    "selection_table": "selection_estimates",
    "simulate_coverage": "simulation.coverage_study",
    "simulate_sbc": "simulation.sbc",
    "supplement_tables": "supplement",
    "update_model": "updating",
    "verdict": "diagnostics",
}

__all__ = [
    "BayesCmvtError",
    "Cohort",
    "Comparison",
    "DataError",
    "EvaluationSettings",
    "ExpectedFit",
    "InputError",
    "LassoLogisticClassifier",
    "MetricError",
    "Nomogram",
    "OptionError",
    "Profile",
    "RunError",
    "SamplingError",
    "SelectionSettings",
    "Study",
    "StudyError",
    "Workers",
    "baseline_coefficients",
    "calculator_page",
    "coefficients",
    "compare",
    "comparison_paragraph",
    "decision_curve",
    "define",
    "deployed_model",
    "engine_agreement",
    "evaluate",
    "file_population",
    "fit_baseline",
    "flow_table",
    "horseshoe_rules",
    "invariance_test",
    "leave_one_out",
    "load_baseline",
    "load_cohort",
    "load_run",
    "load_selection",
    "load_study",
    "metrics",
    "model_json",
    "nomogram_points",
    "patient_profile",
    "plot_calibration",
    "plot_coefficients",
    "plot_compare_coefficients",
    "plot_compare_risks",
    "plot_coverage",
    "plot_coverage_coefficients",
    "plot_decision_curve",
    "plot_diagnostics",
    "plot_flow",
    "plot_instability",
    "plot_nomogram",
    "plot_plug_in",
    "plot_predictive_checks",
    "plot_replicated_selection",
    "plot_roc",
    "plot_sbc",
    "plot_selection_path",
    "plot_selection_stability",
    "plot_sensitivity",
    "plot_shrinkage",
    "power_scaling",
    "predict",
    "predictions",
    "printed_fit",
    "prior_alternatives",
    "prior_odds_ratios",
    "published_tables",
    "read_published",
    "reconstruct",
    "replicated_selection",
    "sample",
    "sample_size_table",
    "save_bytes",
    "scenario_population",
    "select",
    "selection_table",
    "simulate_coverage",
    "simulate_sbc",
    "supplement_tables",
    "update_model",
    "verdict",
]


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return import_module(f"bayes_cmvt.{name}")
    if name not in _ROOMS:
        msg = f"module 'bayes_cmvt' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"bayes_cmvt.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return __all__
