from shadho_like import Shadho

if __name__ == "__main__":
    # One trial, which is the whole search: where it dies, its next attempt carries on from its latest checkpoint.
    opt = Shadho("python run_in_trial.py", {}, name="searcher", method="single", timeout=None, max_resubmissions=10)
    for file in ("asha.py", "run_in_trial.py", "custom_config.yaml", "model"):
        opt.add_input_file(file)
    opt.run()
