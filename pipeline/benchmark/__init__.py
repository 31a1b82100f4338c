"""Benchmarks: which model is worth its cost on a data set."""
