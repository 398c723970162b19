from asha import ASHASearchMethod

from shadho_like import searcher

if __name__ == "__main__":
    runner = searcher.LocalSearchRunner(ASHASearchMethod(), searcher_dir="experiments/custom_asha")
    experiment_id = runner.run("custom_config.yaml", model_dir="model")
    print(f"{experiment_id}: {len(runner.state.trials_created)} trials, {len(runner.state.failures)} failures")
