"""The smallest sin(x) on [0, pi], on this machine: the objective is a Python function, the workers are this machine's cores."""

import math

from shadho_like import Shadho, rand


def sin(params):
    return math.sin(params["x"])


if __name__ == "__main__":
    opt = Shadho(sin, {"x": rand.uniform(0, math.pi)}, timeout=60, max_tasks=5000, seed=1)
    opt.run()
