"""A trial that is a Python program."""

import shadho_worker

shadho_worker.run(lambda hparams: hparams["x"] + hparams["y"] + hparams["z"])
