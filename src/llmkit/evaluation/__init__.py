"""Run models for evaluation: batched log-likelihoods and greedy generation."""
