"""Simulation: is the inference right, whose intervals hold the truth, what is selected again."""
