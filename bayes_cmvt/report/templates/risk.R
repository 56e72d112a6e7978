# Risk of one patient: Rscript risk.R model.json '{"age": 68, "sex": "female"}'
library(jsonlite)
arguments <- commandArgs(trailingOnly = TRUE)
model <- fromJSON(arguments[1], simplifyDataFrame = FALSE)
profile <- fromJSON(arguments[2])
forward <- list(identity = identity, log = log, log1p = log1p, sqrt = sqrt)
names <- vapply(model$predictors, `[[`, "", "name")
unknown <- setdiff(names(profile), names)
if (length(unknown)) stop("not in the model: ", toString(unknown), "; allowed: ", toString(names))
x <- unlist(lapply(model$predictors, function(one) { # what is not given has its default
  value <- if (one$name %in% names(profile)) profile[[one$name]] else one$default
  if (one$kind == "continuous") {
    range <- if (length(one$range)) unlist(one$range) else c(-Inf, Inf)
    if (!isTRUE(value >= range[1] && value <= range[2])) {
      stop(one$name, ": found ", value, "; allowed: ", range[1], " to ", range[2])
    }
    return(forward[[one$transform]](as.numeric(value)))
  }
  code <- match(as.character(value), one$levels) - 1
  if (is.na(code)) stop(one$name, ": no level ", value)
  if (one$kind == "categorical") as.numeric(seq_along(one$levels)[-1] - 1 == code) else code
}))
z <- (x - vapply(model$columns, `[[`, 0, "mean")) / vapply(model$columns, `[[`, 0, "sd")
if (!all(is.finite(z))) stop("a value has no logarithm or root: no risk can be computed")
risk_of <- function(set) plogis(set$intercept + if (length(z)) drop(z %*% set$beta) else 0)
drawn <- if (!is.null(model$draws)) risk_of(model$draws)
tails <- c((1 - model$interval) / 2, 1 - (1 - model$interval) / 2)
limits <- if (length(drawn)) quantile(drawn, tails, type = 7, names = FALSE)
risk <- if (is.null(model$central)) mean(drawn) else risk_of(model$central)
assumed <- I(setdiff(names, names(profile)))
result <- list(risk = risk, lower = limits[1], upper = limits[2], assumed = assumed, notice = model$notice)
cat(toJSON(result, auto_unbox = TRUE, digits = NA, null = "null"), "\n")
