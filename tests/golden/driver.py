"""The driver of the golden experiments: `python driver.py DIRECTORY`. To change it is to make their journals another experiment's."""

import sys

from shadho_like import Shadho, rand, searcher

if __name__ == "__main__":
    space = {"x": rand.randint(0, 30), "deep": {"rate": rand.loguniform(1e-4, 1.0)}}
    method = searcher.create("async_halving", space, max_length=9, max_trials=20, num_rungs=3, divisor=3, max_concurrent_trials=4)
    opt = Shadho("sh task.sh", space, name="golden", directory=sys.argv[1], method=method, seed=5, engine="local", workers=4, max_resubmissions=1)
    opt.add_input_file("task.sh")
    opt.run()
