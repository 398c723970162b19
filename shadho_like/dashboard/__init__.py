"""The experiments in a browser: optuna-dashboard for the charts, and one page of our own for what it lacks."""
