# Selection by projection in R on one core: rstanarm's horseshoe, then projpred's cv_varsel with the
# forward search in every fold, and by leave-one-out with one search on all patients.
# Usage: Rscript selection.R STUDY.csv OUTCOME PREDICTOR,PREDICTOR,... [LARGEST_SIZE [PARTS]]
# PARTS: kfold, loo or kfold,loo (default). One line of JSON on stdout; what projpred reports as it
# goes, and one line for each part as it ends, on stderr. Seconds are of the wall clock ("wall") and
# of the processor ("core"); "refits" are those of the ten reference models, counted in "kfold" too.
Sys.setenv(OMP_NUM_THREADS = "1", OPENBLAS_NUM_THREADS = "1")
suppressMessages({library(rstanarm); library(projpred); library(jsonlite)})
options(mc.cores = 1)

FOLDS <- 10
CLUSTERS <- 20     # of draws, in the search
DRAWS <- 400       # projected for each size, in the evaluation

given <- commandArgs(trailingOnly = TRUE)
study <- read.csv(given[1])
predictors <- strsplit(given[3], ",")[[1]]
largest <- if (length(given) > 3) as.integer(given[4]) else length(predictors)
parts <- if (length(given) > 4) strsplit(given[5], ",")[[1]] else c("kfold", "loo")
data <- data.frame(y = study[[given[2]]], scale(study[predictors]))

# the package's own defaults: half of the columns expected, slab of scale 2 and 4 degrees
expected <- length(predictors) / 2
share <- mean(data$y)
tau0 <- expected / (length(predictors) - expected) / sqrt(nrow(data) * share * (1 - share))

seconds <- list(largest_size = largest)
timed <- function(name, work) {
  start <- proc.time()
  result <- force(work)
  spent <- proc.time() - start
  seconds[[name]] <<- list(wall = spent[["elapsed"]],
                           core = sum(spent[c("user.self", "sys.self", "user.child", "sys.child")]))
  message(sprintf("%s: %.1f s", name, spent[["elapsed"]]))
  result
}

fit <- timed("reference", suppressWarnings(stan_glm(
  y ~ ., family = binomial(), data = data, chains = 4, cores = 1, iter = 2000, warmup = 1000,
  prior = hs(df = 1, global_df = 1, global_scale = tau0, slab_df = 4, slab_scale = 2),
  prior_intercept = student_t(3, 0, 2.5, autoscale = FALSE), adapt_delta = 0.99, seed = 1,
  refresh = 0
)))
refmodel <- get_refmodel(fit)
refits <- refmodel$cvfun
refmodel$cvfun <- function(folds) timed("refits", suppressWarnings(refits(folds)))

varsel <- function(name, ...) {
  found <- timed(name, suppressWarnings(cv_varsel(
    refmodel, method = "forward", nclusters = CLUSTERS, ndraws_pred = DRAWS, nterms_max = largest,
    verbose = FALSE, seed = 1, ...
  )))
  seconds[[name]]$order <<- found$solution_terms
  seconds[[name]]$suggested <<- tryCatch(suggest_size(found), error = function(problem) NA)
}
if ("loo" %in% parts) varsel("loo", cv_method = "LOO", validate_search = FALSE)
if ("kfold" %in% parts) varsel("kfold", cv_method = "kfold", K = FOLDS, validate_search = TRUE)
seconds$cores <- 1
seconds$versions <- lapply(list(rstanarm = "rstanarm", projpred = "projpred"),
                           function(name) as.character(packageVersion(name)))
cat(toJSON(seconds, auto_unbox = TRUE, digits = 3), "\n")
