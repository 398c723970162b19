"""The fewest parameters with which the dummy experiment still reaches an accuracy of 0.5, best of four seeds."""

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np

from shadho_like.configs import pydraclass
from shadho_like.runner.binary_search import run_binary_searches
from shadho_like.runner.configs.search_configs import BinarySearchConfig
from shadho_like.runner.gpu_utils import GPUJobResult

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from dummy_experiment import DummyExperimentConfig, run_experiment


@pydraclass
class ExperimentBinarySearchConfig(BinarySearchConfig):
    def get_experiment_config_and_base_dir(self, num_parameters: int, seed: int):
        config = copy.deepcopy(self.base_experiment_config)
        config.num_parameters = num_parameters
        config.seed = seed
        config.base_dir = f"{self.base_dir}/num_parameters_{num_parameters}_seed_{seed}"
        config.finalize()
        return config, config.base_dir

    def run_experiment_config(self, config):
        return run_experiment(config)

    def agg_results(self, results: list[GPUJobResult]) -> tuple[bool, Any]:
        # Aggregate results across seeds
        results = [r for r in results if r.success]
        if len(results) == 0:
            return False, None
        best_idx = np.argmax([r.result for r in results])
        result = results[best_idx]
        # Return (success, result) - success is True if result >= threshold
        return result.result >= 0.5, result


if __name__ == "__main__":
    configs = [
        ExperimentBinarySearchConfig(
            base_dir="./results/binary_search",
            prop="num_parameters",  # Property to search over
            range=(10, 100),  # Search range
            precision=1,  # Precision for stopping
            success_direction_lower=True,  # Lower values are better
            sweep_props={"seed": [42, 43, 44, 45]},  # Aggregated in agg_results at each point
            base_experiment_config=DummyExperimentConfig(name="experiment_1"),
        )
    ]
    run_binary_searches(configs, max_gpus=4, simultaneous_jobs_per_gpu=2)
