"""Distributed hyperparameter search: a driver on the head node, workers wherever there is a GPU."""
