"""The best of four seeds of the dummy experiment, for each of four numbers of parameters: four grid searches side by side."""

import copy
import sys
from pathlib import Path

import numpy as np

from shadho_like.configs import pydraclass
from shadho_like.runner.configs.search_configs import GridSearchConfig
from shadho_like.runner.gpu_utils import GPUJobResult
from shadho_like.runner.grid_search import run_grid_searches

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from dummy_experiment import DummyExperimentConfig, run_experiment


@pydraclass
class ExperimentGridSearchConfig(GridSearchConfig):
    def get_experiment_config_and_base_dir(self, num_parameters: int, seed: int):
        config = copy.deepcopy(self.base_experiment_config)
        config.num_parameters = num_parameters
        config.seed = seed
        config.base_dir = f"{self.base_dir}/num_parameters_{num_parameters}_seed_{seed}"
        config.finalize()
        return config, config.base_dir

    def run_experiment_config(self, config):
        return run_experiment(config)

    def agg_results(self, results: list[GPUJobResult]):
        # Aggregate results across all sweep_props points
        results = [r for r in results if r.success]
        if len(results) == 0:
            return None
        # Return best result
        best_idx = np.argmax([r.result for r in results])
        return results[best_idx]


if __name__ == "__main__":
    configs = [
        ExperimentGridSearchConfig(
            base_dir=f"./results/grid_search_{num_parameters}",
            sweep_props={"seed": [42, 43, 44, 45]},
            base_experiment_config=DummyExperimentConfig(name="experiment_1", num_parameters=num_parameters),
        )
        for num_parameters in [10, 20, 30, 40]
    ]
    for best in run_grid_searches(configs, max_gpus=4, simultaneous_jobs_per_gpu=2):
        print(f"{best.job.config.num_parameters} parameters: {best.result:.3f} with seed {best.job.config.seed}")
