# A trial that needs no Python: its result is what the sample has as `z`.
sed 's/.*"z": *\([0-9]*\).*/{"loss": \1}/' hyperparameters.json >result.json
