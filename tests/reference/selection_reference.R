# Projection and searches by brute force, for tests/test_projection.py:
#   Rscript selection_reference.R NAME=DESIGN.csv ... > selection_reference.json
# Every submodel is fitted by glm.fit, the LASSO path by glmnet; nothing of projpred is used.
# A design has the columns row, y, then those of the model; its columns, standardised with divisor
# n - 1, are what is searched, except that the LASSO gets them in their own units. Draws of the
# reference model are invented here, rounded so that the digits in the file are all there is.
# Positions of columns and predictors count from 0.
suppressMessages({library(glmnet); library(jsonlite)})

DRAWS <- 8
SHRUNK <- 0.7       # draws scatter around the estimate shrunk by it
DIGITS <- 6         # of a drawn coefficient
STEPS <- c(synth26 = 10, indo_rct = 20)
SHARES <- c(5, 1, 2, 8, 3, 1, 4, 6)

read_design <- function(file) {
  design <- read.csv(file)
  list(raw = as.matrix(design[, setdiff(names(design), c("row", "y"))]), y = design$y)
}

# quasibinomial is binomial that takes fractions without a warning
fitted_glm <- function(x, target) {
  suppressWarnings(glm.fit(cbind(1, x), target, family = quasibinomial(),
                           control = glm.control(epsilon = 1e-14, maxit = 200)))
}

divergence_of <- function(target, fitted) {
  mean(target * log(target / fitted) + (1 - target) * log((1 - target) / (1 - fitted)))
}

# targets: one draw per row
projection <- function(x, kept, targets) {
  fits <- lapply(seq_len(nrow(targets)), function(d) {
    fitted_glm(x[, kept, drop = FALSE], targets[d, ])
  })
  list(kept = I(kept - 1),
       intercept = sapply(fits, function(fit) unname(fit$coefficients[1])),
       coefficients = lapply(fits, function(fit) I(unname(fit$coefficients[-1]))),
       divergence = sapply(seq_along(fits), function(d) {
         divergence_of(targets[d, ], fits[[d]]$fitted.values)
       }))
}

# weighted mean over clusters of the divergence of a submodel
mean_divergence <- function(x, kept, targets, shares) {
  each <- apply(targets, 1, function(target) {
    divergence_of(target, fitted_glm(x[, kept, drop = FALSE], target)$fitted.values)
  })
  sum(shares / sum(shares) * each)
}

forward <- function(x, groups, targets, shares, steps, first = integer(0),
                    costs = rep(1, max(groups) + 1)) {
  predictors <- 0:max(groups)
  order <- integer(0)
  divergence <- mean_divergence(x, integer(0), targets, shares)
  candidates <- matrix(NA_real_, steps, length(predictors))
  for (step in seq_len(steps)) {
    open <- setdiff(if (all(first %in% order)) predictors else first, order)
    for (one in open) {
      kept <- which(groups %in% c(order, one))
      candidates[step, one + 1] <- mean_divergence(x, kept, targets, shares)
    }
    gain <- (divergence[step] - candidates[step, ]) / costs
    best <- which.max(gain)
    order <- c(order, best - 1)
    divergence <- c(divergence, candidates[step, best])
  }
  list(order = order, divergence = divergence, candidates = candidates, shares = shares,
       groups = groups, first = I(first), costs = costs)
}

# where predictors enter glmnet's path for one vector of probabilities; the rest by forward search
l1 <- function(raw, x, groups, target) {
  path <- glmnet(raw, cbind(1 - target, target), family = "binomial", thresh = 1e-12,
                 maxit = 1e7)
  spread <- apply(raw, 2, function(column) sqrt(mean((column - mean(column))^2)))
  beta <- apply(abs(as.matrix(path$beta)) * spread, 2, function(each) tapply(each, groups, max))
  # by predictor: place on the path, the empty model being 0, and size there
  enters <- unname(apply(beta > 0, 1, function(each) which(each)[1])) - 1
  size <- unname(beta[cbind(seq_along(enters), enters + 1)])
  entered <- order(enters, -size)[seq_len(sum(!is.na(enters)))] - 1
  list(order = followed(x, groups, target, entered), entered = length(entered), groups = groups,
       enters = enters, size = size)
}

# the predictors that are not in `order` yet, by forward search
followed <- function(x, groups, target, order) {
  while (length(order) <= max(groups)) {
    open <- setdiff(0:max(groups), order)
    each <- sapply(open, function(one) {
      mean_divergence(x, which(groups %in% c(order, one)), rbind(target), 1)
    })
    order <- c(order, open[which.min(each)])
  }
  order
}

# columns 1 to 3 are one predictor, 10 and 11 another
in_groups <- function(columns) {
  number <- seq_len(columns)
  number[2:3] <- 1
  number[11] <- 10
  match(number, unique(number)) - 1
}

drawn <- function(x, y) {
  fit <- glm(y ~ x, family = binomial, control = glm.control(epsilon = 1e-14, maxit = 100))
  noise <- matrix(rnorm(DRAWS * (1 + ncol(x))), DRAWS)
  centre <- matrix(SHRUNK * coef(fit), DRAWS, 1 + ncol(x), byrow = TRUE)
  round(centre + noise %*% chol(vcov(fit)), DIGITS)
}

reference <- function(name, file) {
  given <- read_design(file)
  x <- scale(given$raw)
  set.seed(301)
  draws <- drawn(x, given$y)
  targets <- plogis(draws %*% t(cbind(1, x)))
  columns <- ncol(x)
  alone <- seq_len(columns) - 1
  grouped <- in_groups(columns)
  steps <- STEPS[[name]]
  subsets <- list(integer(0), 3, c(12, 2), c(1, 4, 6, 9, 15, 20), seq_len(columns))
  costs <- 1 + (alone * 7) %% 5
  average <- colMeans(SHARES / sum(SHARES) * targets) * DRAWS
  list(draws = draws,
       projections = lapply(subsets, function(kept) projection(x, kept, targets)),
       forward = list(
         plain = forward(x, alone, targets, SHARES, steps),
         one_cluster = forward(x, alone, rbind(average), 1, steps),
         grouped = forward(x, grouped, targets, SHARES, 6),
         first = forward(x, alone, targets, SHARES, 6, first = c(7, 2, 16)),
         costs = forward(x, alone, targets, SHARES, 8, costs = costs),
         all_of_it = forward(x, grouped, targets, SHARES, 6, first = c(8, 0),
                             costs = costs[seq_len(max(grouped) + 1)])),
       l1 = list(plain = l1(given$raw, x, alone, average),
                 grouped = l1(given$raw, x, grouped, average),
                 first_draw = l1(given$raw, x, alone, targets[1, ])))
}

given <- strsplit(commandArgs(TRUE), "=")
content <- lapply(given, function(one) reference(one[1], one[2]))
names(content) <- sapply(given, `[`, 1)
content$versions <- list(R = paste(R.version$major, R.version$minor, sep = "."),
                         glmnet = as.character(packageVersion("glmnet")))
cat(toJSON(content, auto_unbox = TRUE, digits = I(15), na = "null"), "\n")
