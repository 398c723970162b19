"""An experiment for the runner's examples: a config, a function that runs it, and a command line for the two."""

import random

from shadho_like.configs import main, pydraclass


@pydraclass
class DummyExperimentConfig:
    name: str = "dummy_experiment"
    num_parameters: int = 10  # more of them fit better
    seed: int = 42


def perform_training(config):
    """Train nothing, and return an accuracy that grows with the number of parameters."""
    noise = random.Random(config.seed).uniform(-0.02, 0.02)
    accuracy = config.num_parameters / (config.num_parameters + 40) + noise
    print(f"{config.name}: {config.num_parameters} parameters, seed {config.seed}: accuracy {accuracy:.3f}")
    return accuracy


def run_experiment(config: DummyExperimentConfig):
    return perform_training(config)


@main(DummyExperimentConfig)
def main(config: DummyExperimentConfig):
    run_experiment(config)


if __name__ == "__main__":
    main()
