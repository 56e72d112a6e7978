"""Works that a report may cite, ready to paste; a report lists those that its run used."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Work(NamedTuple):
    """One reference.

    Attributes
    ----------
    text : str
        Authors, title, journal, year, pages.
    address : str
        ``doi:…`` or, where the work has none, its web address.
    """

    text: str
    address: str


WORKS: Mapping[str, Work] = MappingProxyType(
    {
        "piironen2017": Work(
            "Piironen J, Vehtari A. Sparsity information and regularization in the horseshoe and "
            "other shrinkage priors. Electron J Stat 2017;11:5018-5051.",
            "doi:10.1214/17-EJS1337SI",
        ),
        "gelman2008": Work(
            "Gelman A, Jakulin A, Pittau MG, Su YS. A weakly informative default prior "
            "distribution for logistic and other regression models. Ann Appl Stat "
            "2008;2:1360-1383.",
            "doi:10.1214/08-AOAS191",
        ),
        "polson2013": Work(
            "Polson NG, Scott JG, Windle J. Bayesian inference for logistic models using "
            "Pólya-Gamma latent variables. J Am Stat Assoc 2013;108:1339-1349.",
            "doi:10.1080/01621459.2013.829001",
        ),
        "neal2003": Work(
            "Neal RM. Slice sampling. Ann Stat 2003;31:705-767.", "doi:10.1214/aos/1056562461"
        ),
        "hoffman2014": Work(
            "Hoffman MD, Gelman A. The No-U-Turn sampler: adaptively setting path lengths in "
            "Hamiltonian Monte Carlo. J Mach Learn Res 2014;15:1593-1623.",
            "https://jmlr.org/papers/v15/hoffman14a.html",
        ),
        "abrilpla2023": Work(
            "Abril-Pla O, Andreani V, Carroll C, et al. PyMC: a modern, and comprehensive "
            "probabilistic programming framework in Python. PeerJ Comput Sci 2023;9:e1516.",
            "doi:10.7717/peerj-cs.1516",
        ),
        "vehtari2021": Work(
            "Vehtari A, Gelman A, Simpson D, Carpenter B, Bürkner PC. Rank-normalization, "
            "folding, and localization: an improved R-hat for assessing convergence of MCMC. "
            "Bayesian Anal 2021;16:667-718.",
            "doi:10.1214/20-BA1221",
        ),
        "vehtari2017": Work(
            "Vehtari A, Gelman A, Gabry J. Practical Bayesian model evaluation using "
            "leave-one-out cross-validation and WAIC. Stat Comput 2017;27:1413-1432.",
            "doi:10.1007/s11222-016-9696-4",
        ),
        "vehtari2024": Work(
            "Vehtari A, Simpson D, Gelman A, Yao Y, Gabry J. Pareto smoothed importance sampling. "
            "J Mach Learn Res 2024;25(72):1-58.",
            "https://jmlr.org/papers/v25/19-556.html",
        ),
        "tibshirani1996": Work(
            "Tibshirani R. Regression shrinkage and selection via the lasso. J R Stat Soc B "
            "1996;58:267-288.",
            "doi:10.1111/j.2517-6161.1996.tb02080.x",
        ),
        "friedman2010": Work(
            "Friedman J, Hastie T, Tibshirani R. Regularization paths for generalized linear "
            "models via coordinate descent. J Stat Softw 2010;33(1):1-22.",
            "doi:10.18637/jss.v033.i01",
        ),
        "heinze2002": Work(
            "Heinze G, Schemper M. A solution to the problem of separation in logistic "
            "regression. Stat Med 2002;21:2409-2419.",
            "doi:10.1002/sim.1047",
        ),
        "leeb2005": Work(
            "Leeb H, Pötscher BM. Model selection and inference: facts and fiction. Econom Theory "
            "2005;21:21-59.",
            "doi:10.1017/S0266466605050036",
        ),
        "efron2014": Work(
            "Efron B. Estimation and accuracy after model selection. J Am Stat Assoc "
            "2014;109:991-1007.",
            "doi:10.1080/01621459.2013.823775",
        ),
        "piironen2020": Work(
            "Piironen J, Paasiniemi M, Vehtari A. Projective inference in high-dimensional "
            "problems: prediction and feature selection. Electron J Stat 2020;14:2155-2197.",
            "doi:10.1214/20-EJS1711",
        ),
        "stephens2017": Work(
            "Stephens M. False discovery rates: a new deal. Biostatistics 2017;18:275-294.",
            "doi:10.1093/biostatistics/kxw041",
        ),
        "rubin1981": Work(
            "Rubin DB. The Bayesian bootstrap. Ann Stat 1981;9:130-134.",
            "doi:10.1214/aos/1176345338",
        ),
        "airola2011": Work(
            "Airola A, Pahikkala T, Waegeman W, De Baets B, Salakoski T. An experimental "
            "comparison of cross-validation techniques for estimating the area under the ROC "
            "curve. Comput Stat Data Anal 2011;55:1828-1844.",
            "doi:10.1016/j.csda.2010.11.018",
        ),
        "austin2019": Work(
            "Austin PC, Steyerberg EW. The Integrated Calibration Index (ICI) and related metrics "
            "for quantifying the calibration of logistic regression models. Stat Med "
            "2019;38:4051-4065.",
            "doi:10.1002/sim.8281",
        ),
        "vickers2006": Work(
            "Vickers AJ, Elkin EB. Decision curve analysis: a novel method for evaluating "
            "prediction models. Med Decis Making 2006;26:565-574.",
            "doi:10.1177/0272989X06295361",
        ),
        "riley2023": Work(
            "Riley RD, Collins GS. Stability of clinical prediction models developed using "
            "statistical or machine learning methods. Biom J 2023;65:2200302.",
            "doi:10.1002/bimj.202200302",
        ),
        "kallioinen2024": Work(
            "Kallioinen N, Paananen T, Bürkner PC, Vehtari A. Detecting and diagnosing prior and "
            "likelihood sensitivity with power-scaling. Stat Comput 2024;34:57.",
            "doi:10.1007/s11222-023-10366-5",
        ),
        "collins2024": Work(
            "Collins GS, Moons KGM, Dhiman P, et al. TRIPOD+AI statement: updated guidance for "
            "reporting clinical prediction models that use regression or machine learning "
            "methods. BMJ 2024;385:e078378.",
            "doi:10.1136/bmj-2023-078378",
        ),
        "kruschke2021": Work(
            "Kruschke JK. Bayesian Analysis Reporting Guidelines. Nat Hum Behav 2021;5:1282-1291.",
            "doi:10.1038/s41562-021-01177-7",
        ),
    }
)


def link_of(work: Work) -> str:
    """Return the web address of a work.

    Examples
    --------
    >>> link_of(WORKS["neal2003"])
    'https://doi.org/10.1214/aos/1056562461'
    """
    return work.address.replace("doi:", "https://doi.org/", 1)
