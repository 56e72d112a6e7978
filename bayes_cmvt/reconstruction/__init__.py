"""Synthetic cohorts that agree with printed results, and the check that they do."""
