"""A driver of this package for `faults.py`: `python faults_driver.py DIRECTORY TRIALS LENGTH`."""

from __future__ import annotations

import sys
from pathlib import Path

from shadho_like import Shadho, rand, searcher

space = {"x": rand.uniform(0, 1)}
directory, trials, length = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
method = searcher.create("random", space, seed=1, max_length=length, max_trials=trials)
opt = Shadho(f"{sys.executable} faults_train.py", space, method=method, workers=2, timeout=None, directory=directory, engine="local")
opt.add_input_file(Path(__file__).with_name("faults_train.py"))
opt.run()
