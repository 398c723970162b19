from shadho_like import Shadho, rand, searcher

if __name__ == "__main__":
    space = {
        "learning_rate": rand.loguniform(1e-4, 1e-1),
        "hidden": rand.lograndint(8, 129),
        "alpha": rand.loguniform(1e-6, 1e-1),
        "batch_size": [16, 32, 64, 128],
    }
    # Most networks train for one epoch, a third of them for three, the best of all for 27.
    method = searcher.create("async_halving", space, max_length=27, max_trials=30, num_rungs=4, divisor=3, smaller_is_better=False)

    opt = Shadho("python train.py", space, name="asha_digits", method=method, metric="accuracy", smaller_is_better=False, seed=1)
    opt.add_input_file("train.py")
    opt.run()
