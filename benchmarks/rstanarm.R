# The horseshoe posterior of a reference design by rstanarm: effective draws per core-second.
# Usage: Rscript rstanarm.R DESIGN.csv (columns row, y, then the predictors)
suppressMessages(library(rstanarm))
design <- read.csv(commandArgs(trailingOnly = TRUE)[1])
y <- design$y
z <- scale(as.matrix(design[, setdiff(names(design), c("row", "y"))]))
data <- data.frame(y = y, z)
expected <- min(5, ncol(z) / 2)
tau0 <- expected / (ncol(z) - expected) / sqrt(nrow(z)) * 2
fit <- suppressWarnings(stan_glm(
  y ~ ., family = binomial(), data = data, chains = 4, cores = 1, iter = 3000, warmup = 1000,
  prior = hs(df = 1, global_df = 1, global_scale = tau0, slab_df = 4, slab_scale = 2.5),
  prior_intercept = normal(0, 10, autoscale = FALSE), adapt_delta = 0.99, seed = 1, refresh = 0
))
core <- sum(rstan::get_elapsed_time(fit$stanfit))
draws <- as.array(fit$stanfit)
bulk <- function(name) posterior::ess_bulk(draws[, , name])
beta <- sapply(colnames(z), bulk)
rhat <- max(sapply(colnames(z), function(name) posterior::rhat(draws[, , name])))
# rstanarm keeps no draws of tau
cat(sprintf(
  '{"compile": 0, "wall": %.2f, "core": %.2f, "min_ess": %.1f, "median_ess": %.1f, ',
  core, core, min(beta) / core, median(beta) / core
))
cat(sprintf('"log_tau_ess": NaN, "max_rhat": %.4f, "repeated": 0}\n', rhat))
