"""Every dimension of a fit and every column of a table, one sentence each; words of their cells.

The program and its readers share these words: a table with a column that is not listed here fails
a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bayes_cmvt.errors import nearest

DIMENSIONS: Mapping[str, str] = MappingProxyType(
    {
        "chain": "Independent run of the sampler.",
        "draw": "One draw from the posterior, within its chain; of the baseline one resample.",
        "coefficient": "Column of the design: a predictor, or one level of a category.",
        "step": "Penalty along the path of the LASSO.",
        "position": "Place in a resample; copies of a patient stand side by side.",
        "shrunk_coefficient": "Column of the design under the shrinkage prior.",
        "patient": "Row of the input file, 1 = first row after the header.",
    }
)

PRIORS: Mapping[str, str] = MappingProxyType(
    {
        "weak": "a neutral weak prior, N(0, 5²)",
        "moderate": "a neutral moderate prior, N(0, 0.355²)",
        "strong": "a neutral strong prior, N(0, 0.205²)",
        "optimistic": "a prior that leans the printed way",
        "pessimistic": "a prior that leans the other way",
        "horseshoe": "a horseshoe over the z values of all candidates",
    }
)
PRIOR_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "median": "Posterior median of the odds ratio",
        "lower": "Lower limit of the odds ratio",
        "upper": "Upper limit of the odds ratio",
        "prob_above_1": "Probability of an odds ratio above 1",
    }
)

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        # who and what
        "row": "Row of the input file, 1 = first row after the header.",
        "set": "development, validation, or external: patients of another file.",
        "outcome": "1 where the patient had the event, else 0.",
        "term": "Predictor's name, or name[level] for a column of a category.",
        "label": "What figures and reports call it.",
        "name": "Column of the data file.",
        "level": "Level of a predictor that is not continuous.",
        "value": "Value in the column's own units.",
        "step": "Step of the flow from the rows of the file to the rows analysed.",
        "patients": "Number of patients.",
        # risks
        "risk": "The probability that the model predicts: posterior mean, or of the final model.",
        "median": "Posterior median; of the baseline the median over resamples.",
        "lower": "Lower limit of the equal-tailed interval.",
        "upper": "Upper limit of the equal-tailed interval.",
        "interval": "Probability inside the equal-tailed intervals of this row.",
        # coefficients
        "mean": "Posterior mean, log-odds per unit or level change; lasso_cv.csv: mean loss.",
        "sd": "Posterior standard deviation on the same scale as the mean.",
        "std_mean": "Posterior mean, log-odds per SD of the predictor.",
        "std_sd": "Posterior standard deviation, log-odds per SD of the predictor.",
        "std_lower": "Lower limit, log-odds per SD of the predictor.",
        "std_upper": "Upper limit, log-odds per SD of the predictor.",
        "per": "Contrast on which the odds ratio is reported, in the column's own units.",
        "odds_ratio": "Exp of posterior median or estimate, on its contrast; intercept: odds at 0.",
        "odds_ratio_lower": "Lower limit of the odds ratio.",
        "odds_ratio_upper": "Upper limit of the odds ratio.",
        "prob_positive": "Posterior probability that the coefficient is above 0.",
        "shrinkage": "Posterior mean of the shrinkage factor: 0 left alone, 1 shrunk to nothing.",
        # what the prior said
        "contrast": "Contrast of the odds ratios of this row, in the column's own units.",
        "prior_lower": "Lower limit before the data: of the odds ratio, or of a probability.",
        "prior_median": "Median of the odds ratio before the data.",
        "prior_upper": "Upper limit before the data: of the odds ratio, or of a probability.",
        "posterior_lower": "Lower limit of the odds ratio given the data, on the row's contrast.",
        "posterior_median": "Median of the odds ratio given the data, on the row's contrast.",
        "posterior_upper": "Upper limit of the odds ratio given the data, on the row's contrast.",
        # diagnostics
        "quantity": "What the row is about: a scalar of a fit, of a nomogram, or of a print.",
        "gated": "Whether the diagnostics gate looks at it.",
        "rhat": "Rank-normalised split R-hat: agreement between chains, below 1.01 is good.",
        "ess_bulk": "Bulk effective sample size: independent draws worth as much for the centre.",
        "ess_tail": "Tail effective sample size: smaller of those of the 5 % and 95 % quantiles.",
        "mcse_mean": "Monte Carlo standard error of the posterior mean.",
        "mcse_lower": "Monte Carlo standard error of the lower limit.",
        "mcse_upper": "Monte Carlo standard error of the upper limit.",
        "elpd": "Log predictive density of the patient when left out; of a model: their sum.",
        "pareto_k": "Pareto shape of the importance weights: above 0.7 the term is not reliable.",
        "share": "Share of the resamples; of leverage: of a column's sum of squares.",
        "refitted": "Whether the term comes from an exact fit without the patient.",
        # two engines
        "statistic": "What was computed from the draws: mean, sd, median, lower or upper limit.",
        "estimate": "The statistic or metric as it is found, in its own unit.",
        "mcse": "Monte Carlo standard error of the estimate, or of a difference of two.",
        "first": "The statistic in the first of two fits.",
        "second": "The statistic in the second of two fits.",
        "difference": "First minus second in Monte Carlo standard errors; beyond 4 they disagree.",
        # performance
        "model": "horseshoe, baseline, projection or published.",
        "metric": "Name of the function in bayes_cmvt.metrics, perhaps with what of it.",
        "if_calibrated": "Mean of this error if the risks were right; it is never 0.",
        "method": "apparent, kfold, loo, holdout, optimism_corrected or optimism_corrected_refit.",
        "interval_of": "patients, or draws (a workflow's resamples): instability, no interval.",
        "threshold": "Risk from which a patient counts as positive or is treated, if one is given.",
        "split": "Number of a random 7:3 split of the development patients.",
        "auc": "Area under the ROC curve.",
        "calibration_in_the_large": "Intercept of a logistic model with the log-odds as offset.",
        "calibration_slope": "Slope of a logistic model on the log-odds; below 1: too extreme.",
        "brier_score": "Mean squared difference between outcome and risk.",
        "scaled_brier_score": "1 - Brier score over that of the event share; 0: no better.",
        "model_a": "First of two models on the same patients.",
        "model_b": "Second of two models; differences are the first minus the second.",
        # net benefit
        "strategy": "Model whose risks are acted on, treat_all or treat_none.",
        "net_benefit": "True positives per patient less false positives at the threshold's odds.",
        "prob_useful": "Share of replicates of the patients in which the model beats all and none.",
        "apparent": "Net benefit of the deployed rule, which has seen these patients.",
        "net_benefit_per_1000": "Net benefit times 1,000.",
        "interventions_avoided_per_1000": "Fewer treated than by treating all, at equal benefit.",
        "expected_net_benefit": "Net benefit that at most 4,000 draws expect of the deployed rule.",
        "expected_lower": "Lower limit over draws of the net benefit that the model expects.",
        "expected_upper": "Upper limit over draws of the net benefit that the model expects.",
        "evpi_development": "What knowing all true risks would add to the deployed rule, by draws.",
        "evpi_validation": "Net benefit that knowing the best strategy would add, over patients.",
        "net_benefit_difference": "Net benefit of model_a minus that of model_b.",
        "note": "What else is to be said of the row.",
        # the frequentist baseline
        "selected_lasso": "Whether the LASSO kept the term; the intercept is in every model.",
        "selected_final": "Whether the term is in the final model.",
        "coef": "Estimate of the final model, log-odds per unit or step; 0 if not in it.",
        "lambda_min": "Largest penalty that attains the best mean loss over folds.",
        "lambda_1se": "Largest penalty whose mean loss is within one standard error of the best.",
        "se": "Standard error; lasso_cv.csv: of the mean loss over folds.",
        "z": "Wald's statistic, estimate over standard error.",
        "p": "P value in the final model: Wald's; of a Firth fit the likelihood ratio's.",
        "wald_lower": "Lower Wald limit, blind to the selection: log-odds; of a risk: risk.",
        "wald_upper": "Upper Wald limit, blind to the selection: log-odds; of a risk: risk.",
        "boot_lower": "Lower percentile limit over resamples of the workflow, log-odds.",
        "boot_upper": "Upper percentile limit over resamples of the workflow, log-odds.",
        "boot_median": "Median over resamples of the workflow, log-odds; 0 if not selected.",
        "boot_zero": "Share of resamples of the workflow whose final model is without the term.",
        "selection_frequency": "Share of subsamples without replacement that select the term.",
        "selection_frequency_lasso": "Share of subsamples whose LASSO keeps the term.",
        "boot_frequency": "Share of bootstrap resamples that select the term; too high for noise.",
        "boot_frequency_lasso": "Share of bootstrap resamples whose LASSO keeps the term.",
        "fit": "ml: maximum likelihood; firth: Firth's penalised fit, as the data separate.",
        "odds_ratio_wald_lower": "Lower Wald limit of the odds ratio, on its contrast.",
        "odds_ratio_wald_upper": "Upper Wald limit of the odds ratio, on its contrast.",
        "odds_ratio_profile_lower": "Lower profile-likelihood limit of the odds ratio.",
        "odds_ratio_profile_upper": "Upper profile-likelihood limit of the odds ratio.",
        "odds_ratio_boot_lower": "Lower bootstrap limit of the odds ratio, on its contrast.",
        "odds_ratio_boot_upper": "Upper bootstrap limit of the odds ratio, on its contrast.",
        "p_likelihood_ratio": "P value of the (penalised) likelihood ratio in the final model.",
        "profile_lower": "Lower limit by the profile (penalised) likelihood, log-odds.",
        "profile_upper": "Upper limit by the profile (penalised) likelihood, log-odds.",
        "refit_coef": "Estimate in the refit of what the LASSO kept, log-odds per original unit.",
        "refit_se": "Its standard error.",
        "refit_p": "P value that the P rule judges: Wald's; of a Firth fit the likelihood ratio's.",
        "refit_p_likelihood_ratio": "P value of the (penalised) likelihood ratio in the refit.",
        "refit_fit": "ml or firth, of the refit.",
        "hauck_donner": "Whether Wald's P drops the term though the likelihood ratio keeps it.",
        "lambda": "Penalty of the LASSO, on standardised columns.",
        "dev_ratio": "Share of the null deviance that the LASSO explains at this penalty.",
        "scheme": "bootstrap: drawn with replacement; subsample: 0.632 n without.",
        "what": "What became of resamples; the first five kinds add up to all of them.",
        "resamples": "Number of resamples.",
        "other_term": "Second of two terms; of a selection one that says much the same.",
        "share_both": "Share of resamples or folds that have both terms.",
        "share_if_independent": "Product of the two terms' own shares.",
        "rank": "1 for the most frequent.",
        "terms": "Terms of a final model.",
        "size": "Number of terms; of a submodel number of predictors, or of a procedure the mean.",
        "same_as_final": "Whether this is the final model of all patients.",
        "apparent_estimate": "The figure as it stands, before its correction.",
        "optimism": "Mean over resamples: model on its own resample less on all patients.",
        "resamples_used": "Resamples in which the figure is defined.",
        "apparent_observed": "Share of events at this risk, smoothed, before the correction.",
        "mean_absolute_error": "Mean distance of risk and curve, over patients in its range.",
        # calibration and ROC
        "smoother": "How outcomes were smoothed over the risk.",
        "observed": "Share of events at this risk, smoothed.",
        "false_positive_rate": "Share of patients without the event who are called positive.",
        "sensitivity": "Share of patients with the event who are called positive.",
        "group": "Tenth of the patients, by risk; of printed responses what the source calls them.",
        "risk_lower": "Risk that parts the group from the one below; empty for the lowest.",
        "risk_upper": "Risk that parts the group from the one above; empty for the highest.",
        "events": "Number of events.",
        "expected": "Sum of the risks.",
        "predicted_lower": "Lower limit of the number of events that the model predicts.",
        "predicted_upper": "Upper limit of the number of events that the model predicts.",
        "test": "Test of calibration in groups; its power is low.",
        "df": "Degrees of freedom; of the LASSO the number of columns that are not 0.",
        # updating
        "update": "What was done to the model for the new patients.",
        "elpd_se": "Standard error of the elpd, over patients.",
        "elpd_diff": "Elpd less that of the model as it stands, or of the full posterior.",
        "elpd_diff_se": "Standard error of that difference, paired over patients.",
        "bad_k": "Patients whose Pareto k-hat is too high.",
        "intercept": "Recalibration intercept, log-odds.",
        "intercept_lower": "Lower limit of the recalibration intercept.",
        "intercept_upper": "Upper limit of the recalibration intercept.",
        "slope": "Recalibration slope on the log-odds.",
        "slope_lower": "Lower limit of the recalibration slope.",
        "slope_upper": "Upper limit of the recalibration slope.",
        # selection
        "auc_diff": "AUC of the submodel less that of the full posterior.",
        "auc_diff_se": "Standard error of that difference, paired over patients.",
        "net_benefit_diff": "Net benefit of the submodel less that of the full posterior.",
        "net_benefit_diff_se": "Standard error of that difference, paired over patients.",
        "divergence": "Kullback-Leibler divergence from clusters of draws, nats per patient.",
        "elpd_diff_sd": "SD of the difference over repeats of the folds: what their dealing does.",
        "cost": "Cost of the submodel's predictors, as the study declares it, together.",
        "share_of_folds": "Share of folds, each searched anew, with the term in by that size.",
        "suggested": "Smallest size whose loss of elpd cannot be told from none.",
        "chosen": "Size of the submodel that the posterior is projected onto.",
        "procedure": "projection, kappa, rope, interval, lasso or lasso_final: what selected.",
        "source": "Other patients, folds or seed of the repetition.",
        "replicates": "Number of repetitions in which the procedure gave a set.",
        "frequency": "Share of the repetitions that select the term.",
        "same_set": "Share of the repetitions that give the very set of all patients.",
        "distinct_sets": "Number of different sets.",
        "most_frequent": "Share of the most frequent set.",
        "stability": "Stability of Nogueira et al.: 1 always the same, 0 as if drawn at random.",
        "rope": "Odds ratios from its inverse to itself are of no practical size.",
        "prob_wrong_sign": "Posterior probability of the less likely sign.",
        "prob_beyond_rope": "Posterior probability of a practical effect, on its contrast.",
        "kappa": "Whether the shrinkage is below one half; empty for what is not shrunk.",
        "prior_beyond_rope": "Prior probability of a practical effect, on its contrast.",
        "rope_rule": "Whether a practical effect is likelier than not, and than before the data.",
        "interval_rule": "Whether the interval excludes 0.",
        "columns": "Columns that the procedure keeps; samplesize.csv: of all candidates.",
        "expected_wrong_sign": "Columns kept whose sign is expected to be wrong, by the posterior.",
        "expected_in_rope": "Columns kept that are expected to be of no practical size.",
        "other_label": "What figures and reports call it.",
        "would_take": "Of what the term takes from the divergence, the share the other would take.",
        "left_over": "Of what the other would take, the share left once the term is in.",
        "other_share_of_folds": "Share of folds with the other term in by that size.",
        "share_either": "Share of folds with at least one of the two in by that size.",
        # proof by simulation
        "replications": "Independent simulated data sets.",
        "p_value": "P value of the row's test (sbc.csv: Kolmogorov-Smirnov, draws against law).",
        "inside_envelope": "Whether P is at least 0.05 divided by the number of rows.",
        "distance": "Kolmogorov-Smirnov distance between the draws and the law they must follow.",
        "variant": "Sampler that was put to the proof: prior family and kind of sweep.",
        # what was published
        "z_lower": "Smallest |z| (estimate over its standard error) that rounds to the print.",
        "z_upper": "Largest |z| that rounds to the print; empty where P is a bound.",
        "se_lower": "Smallest standard error of the log odds ratio that rounds to the print.",
        "se_upper": "Largest standard error of the log odds ratio that rounds to the print.",
        "ci_lower": "Lower 95 % limit of the odds ratio, from the estimate and its standard error.",
        "ci_upper": "Upper 95 % limit of the odds ratio, from the estimate and its standard error.",
        "conditional_lower": "Lower limit of the odds ratio given that its P passed the rule.",
        "conditional_upper": "Upper limit of the odds ratio given that its P passed the rule.",
        "contrast_words": "What the printed odds ratio compares, in words.",
        "prior": "Prior of the row: weak, moderate, strong, optimistic, pessimistic, horseshoe.",
        "prior_mean": "Mean of the prior: of a log odds ratio on its contrast, of a probability.",
        "prior_sd": "SD of the prior of the log odds ratio on its contrast.",
        "prob_above_1": "Posterior probability of an odds ratio above 1.",
        "prob_exceeds": "Posterior probability of more than the declared effect, the same way.",
        "replication": "Probability of P < 0.05 and the same sign in a second such study.",
        "lowest": "Smallest value that the print, or the assumption, allows.",
        "at_print": "Value at the printed numbers themselves.",
        "highest": "Largest value that the print, or the assumption, allows.",
        "effect": "Odds ratio that is declared for power, type S and type M errors.",
        "power": "Probability of a significant result at the declared effect.",
        "type_s": "Share of significant results with the wrong sign at the declared effect.",
        "type_m": "Mean exaggeration of significant results at the declared effect.",
        "known": "What is known of the candidate's z: printed, dropped, nothing.",
        **{
            f"{prior}_{column}": f"{says} under {words}."
            for prior, words in PRIORS.items()
            for column, says in PRIOR_COLUMNS.items()
        },
        # what it implies
        "claim_id": "Name of the claim.",
        "claim": "What was printed.",
        "implies": "What follows from it.",
        "verdict": "consistent, impossible, or cannot be told.",
        "reason": "Why, or what would be needed to tell.",
        "labels": "Whether sensitivity and specificity are read as printed or swapped.",
        "true_positive": "Patients with the event who were classified right.",
        "true_negative": "Patients without the event who were classified right.",
        "labels_development": "How the two rates of the development set are read.",
        "labels_validation": "How the two rates of the validation set are read.",
        "events_development": "Events in the development set under the scenario.",
        "events_validation": "Events in the validation set under the scenario.",
        "event_share": "Share of patients with the event.",
        "split_p": "Two-sided P of such a split of the events, had it been purely random.",
        "in_literature": "Whether the share lies in the range that the source quotes.",
        **{
            f"{column}_{name}": f"{says} in the {name} set."
            for name in ("development", "validation")
            for column, says in (
                ("se_printed", "Standard error that the printed AUC interval implies"),
                ("se_printed_lower", "Smallest such standard error that rounds to the print"),
                ("se_printed_upper", "Largest such standard error that rounds to the print"),
                ("se_hanley_mcneil", "Standard error of the AUC by Hanley and McNeil's formula"),
            )
        },
        "swaps": "Sets whose labels the scenario swaps.",
        "literature_factor": "Factor of the weight: distance of the share from the literature.",
        "label_factor": "Factor of the weight: labels that would have to be swapped.",
        "auc_factor": "Factor of the weight: printed AUC intervals against the formula.",
        "weight": "Share of the product of all factors: a weighing, not a probability.",
        "default": "Whether the scenario is assumed where one is needed.",
        "assumption": "Under what the row holds.",
        "finding": "The row as a sentence.",
        # printed responses
        "where": "Levels of predictors that make the group.",
        "printed": "As the source printed it.",
        "low": "Lower end of what the print leaves open.",
        "high": "Upper end of what the print leaves open.",
        "worth": "How many patients' worth of information the printed figure is given.",
        "successes": "Pseudo-patients with the event: first number of the Beta prior.",
        "failures": "Pseudo-patients without the event: second number of the Beta prior.",
        "worth_of_range": "Worth if the printed range were a 95 % interval, which no source says.",
        "stratum": "all, or the levels by which a printed direction divides the group.",
        "responders": "Expected number of responders among so many new patients.",
        "responders_lower": "Lower limit of the number of responders.",
        "responders_upper": "Upper limit of the number of responders.",
        "data_weight": "Share of the posterior mean that the data of n patients have.",
        "n": "Number of patients that is needed, rounded up.",
        "largest_pull": "Most by which the printed figure can still move the estimate.",
        # sample size
        "scenario": "What the event share of the row, or the reconstruction, is called.",
        "r2_cox_snell": "Explained variation that is expected of the model (Cox-Snell).",
        "r2_source": "Where that figure comes from.",
        "criterion": "What the number of patients is for.",
        "target": "Value that the criterion asks for.",
        "n_exact": "The number before it is rounded up.",
        "events_per_column": "Events per candidate column.",
        "binding": "Whether this criterion asks for most.",
        "study_n": "Patients that developed the model.",
        "at_study_n": "What the criterion measures at those patients.",
        # synthetic cohorts
        "cohort": "SYNTHETIC where the patients are made up to agree with printed results.",
        "achieved": "The quantity in the synthetic cohort.",
        "tolerance": "How far it may be from the print; not targeted: any distance.",
        "agrees": "Whether it is within that; empty where it is not targeted.",
        "file": "File of the synthetic cohort.",
        "correlation": "Assumed latent correlation between the printed risk factors.",
        "seed": "Seed of the synthetic cohort.",
        "median_width": "Median width of the interval of a patient's risk.",
        "attempts": "Cohorts that were made until one met every target.",
        # nomograms
        "axis": "Predictor whose axis it is.",
        "points": "Points of the value: 0 at the lowest contribution of its axis.",
        "points_lower": "Lower limit of the points, measured from the reference of the axis.",
        "points_upper": "Upper limit of the points, measured from the reference of the axis.",
        "points_rounded": "Points to the nearest whole number.",
        "unit": "Unit of the value, as the study states it.",
        "kind": "continuous, binary, categorical or ordinal.",
        "number": "The value as a number; empty for a level.",
        "reference": "Value from which the limits of points are measured: median or first level.",
        "reference_points": "Points of the reference, which have no width.",
        "length": "Points from end to end of the axis; the longest has 100.",
        "gathered": "Whether the axis is so short that one line stands for it and others.",
        "total_points": "Sum of the points of all predictors, gathered ones as well.",
        "lower_envelope": "5th percentile, over patients near the total, of their lower limits.",
        "upper_envelope": "95th percentile, over patients near the total, of their upper limits.",
        "major": "Whether the tick is labelled.",
        "assumed": "Whether the value was not given: the median or most frequent level.",
        "beyond": "Whether the value lies outside the drawn axis.",
        "total_lower": "Total points at which the risk axis reads the lower limit.",
        "total_upper": "Total points at which the risk axis reads the upper limit.",
        "central_risk": "Risk that is read off the axis at the total points.",
        "density": "How the patient's total points are distributed, 1 where they are likeliest.",
        # table 1
        "summary": "What the cells of this row hold.",
        "overall": "All patients that are analysed.",
        "no_event": "Patients without the event.",
        "event": "Patients with the event.",
        "difference_outcome": "Standardised difference, event minus no event.",
        "development": "Patients that develop the model.",
        "validation": "Patients that validate the model.",
        "difference_set": "Standardised difference, development minus validation.",
    }
)


PROCEDURES: Mapping[str, str] = MappingProxyType(
    {
        "projection": "projection",
        "kappa": "shrinkage below 0.5",
        "rope": "outside the region of practical equivalence",
        "interval": "interval excludes 0",
        "lasso": "LASSO",
        "lasso_final": "whole LASSO workflow",
    }
)
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "everybody": "all patients",
        "seed": "all patients, another seed of the sampler",
        "folds": "all patients, folds dealt again",
        "left_out_fold": "all patients but those of one fold",
        "split": "seven tenths of the patients",
        "subsample": "0.632 of the patients",
    }
)


def define(word: str) -> str:
    """Return the sentence for a column or a dimension.

    Raises
    ------
    KeyError
        The word is in neither list.

    Examples
    --------
    >>> define("patient")
    'Row of the input file, 1 = first row after the header.'
    """
    known = {**COLUMNS, **DIMENSIONS}
    if word not in known:
        msg = f"no column or dimension is called {word!r}{nearest(word, known)}"
        raise KeyError(msg)
    return known[word]
