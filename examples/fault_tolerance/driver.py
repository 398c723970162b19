from shadho_like import Shadho, rand, searcher

if __name__ == "__main__":
    space = {"learning_rate": rand.loguniform(1e-3, 1.0)}
    # Four networks, twelve epochs each. A crash of the training's own code is forgiven five times; a lost machine costs none of these.
    method = searcher.create("random", space, max_trials=4, max_length=12)

    opt = Shadho("python train.py", space, name="fault_tolerance", method=method, max_resubmissions=5, timeout=None, seed=1)
    opt.add_input_file("train.py")
    opt.run()
