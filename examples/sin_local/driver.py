"""The smallest sin(x), on this machine: the objective is a Python function, the workers are this machine's cores."""

import math

from shadho_like import Shadho, rand


def sin(params):
    return math.sin(params["x"])


if __name__ == "__main__":
    opt = Shadho(sin, {"x": rand.uniform(0, math.pi)}, timeout=30, max_tasks=1000, seed=1)
    opt.run()
