# The published workflow in R, for tests/test_pipeline.py:
#   Rscript pipeline_reference.R NAME=DESIGN.csv ... > pipeline_reference.json
# A design has the columns row, y, then those of the model. Columns of one predictor share a name
# up to a final digit where GROUPED says so.
suppressMessages({library(glmnet); library(jsonlite)})

GROUPED <- c("race2", "race3")
SCREEN_P <- 0.2

read_design <- function(file) {
  design <- read.csv(file)
  list(x = as.matrix(design[, setdiff(names(design), c("row", "y"))]), y = design$y)
}

fitted_glm <- function(x, y, kept) {
  data <- data.frame(y = y, x[, kept, drop = FALSE])
  formula <- reformulate(if (length(kept)) kept else "1", "y")
  # with its data in the call, step() finds them
  do.call(glm, list(formula, family = binomial, data = data,
                    control = glm.control(epsilon = 1e-14, maxit = 100)))
}

# glm's covariance is that of the step before its last: one more step from the maximum
once_more <- function(fit) update(fit, start = coef(fit))

described <- function(fit) {
  fit <- once_more(fit)
  table <- coef(summary(fit))
  list(terms = I(rownames(table)), coef = I(table[, 1]), se = I(table[, 2]), p = I(table[, 4]),
       aic = AIC(fit))
}

chosen_columns <- function(x, y, foldid, loss, rule, cv) {
  penalties <- if (cv == "exact") glmnet(x, y, family = "binomial", thresh = 1e-12)$lambda
  found <- cv.glmnet(x, y, family = "binomial", foldid = foldid, type.measure = loss,
                     lambda = penalties, thresh = 1e-12)
  penalty <- if (rule == "min") found$lambda.min else found$lambda.1se
  beta <- as.matrix(coef(found, s = penalty))[-1, 1]
  list(lambda = penalty, kept = names(beta)[beta != 0])
}

workflow <- function(x, y, foldid, loss, rule, cv) {
  chosen <- chosen_columns(x, y, foldid, loss, rule, cv)
  refit <- fitted_glm(x, y, chosen$kept)
  p <- coef(summary(refit))[-1, 4]
  final <- fitted_glm(x, y, chosen$kept[p < 0.05])
  list(loss = loss, rule = rule, cv = cv, lambda = chosen$lambda, refit = described(refit),
       final = described(final))
}

# joint Wald test of the columns of one predictor, alone in a model
univariable_p <- function(x, y, columns) {
  fit <- once_more(fitted_glm(x, y, columns))
  beta <- coef(fit)[-1]
  statistic <- drop(beta %*% solve(vcov(fit)[-1, -1], beta))
  pchisq(statistic, length(beta), lower.tail = FALSE)
}

screening <- function(x, y, foldid) {
  group <- ifelse(colnames(x) %in% GROUPED, sub("[0-9]$", "", colnames(x)), colnames(x))
  p <- sapply(unique(group), function(one) univariable_p(x, y, colnames(x)[group == one]))
  kept <- colnames(x)[p[group] < SCREEN_P]
  list(predictors = names(p), p = I(unname(p)), level = SCREEN_P, kept = kept,
       workflow = workflow(x[, kept], y, foldid, "deviance", "min", "exact"))
}

elimination <- function(x, y, foldid) {
  kept <- chosen_columns(x, y, foldid, "deviance", "min", "exact")$kept
  starts <- list(lasso = kept, everything = colnames(x))
  lapply(starts, function(start) {
    list(start = start, final = described(step(fitted_glm(x, y, start), direction = "backward",
                                               trace = 0)))
  })
}

reference <- function(file) {
  given <- read_design(file)
  set.seed(101)
  foldid <- sample(rep(1:10, length.out = length(given$y)))
  settings <- expand.grid(loss = c("deviance", "mse", "auc"), rule = c("min", "1se"),
                          cv = c("exact", "glmnet"), stringsAsFactors = FALSE)
  list(foldid = foldid,
       workflows = lapply(seq_len(nrow(settings)), function(i) {
         do.call(workflow, c(given, list(foldid = foldid), as.list(settings[i, ])))
       }),
       screening = screening(given$x, given$y, foldid),
       elimination = elimination(given$x, given$y, foldid))
}

given <- strsplit(commandArgs(TRUE), "=")
content <- lapply(setNames(given, sapply(given, `[`, 1)), function(one) reference(one[2]))
content$versions <- list(R = paste(R.version$major, R.version$minor, sep = "."),
                         glmnet = as.character(packageVersion("glmnet")))
cat(toJSON(content, auto_unbox = TRUE, digits = I(15)), "\n")
