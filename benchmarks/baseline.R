# Rscript baseline.R DESIGN.csv FOLDS.csv: core-seconds of glmnet, one line of JSON
suppressMessages(library(glmnet))
given <- commandArgs(TRUE)
design <- read.csv(given[1])
columns <- as.matrix(design[, setdiff(names(design), c("row", "y"))])
folds <- read.csv(given[2])$foldid
core_seconds <- function(work) {
  start <- proc.time()
  force(work)
  spent <- proc.time() - start
  spent[["user.self"]] + spent[["sys.self"]]
}
once <- core_seconds(for (i in 1:20) {
  cv.glmnet(columns, design$y, family = "binomial", foldid = folds, type.measure = "deviance")
}) / 20
set.seed(1)
resamples <- core_seconds(for (b in 1:200) {
  rows <- sample(nrow(columns), replace = TRUE)
  found <- cv.glmnet(columns[rows, ], design$y[rows], family = "binomial", type.measure = "deviance")
  kept <- which(as.numeric(coef(found, s = "lambda.min"))[-1] != 0)
  if (length(kept)) {
    suppressWarnings(glm(design$y[rows] ~ columns[rows, kept], family = binomial))
  }
})
cat(sprintf('{"cv": %.6f, "resamples": %.4f, "glmnet": "%s"}\n', once, resamples,
            as.character(packageVersion("glmnet"))))
