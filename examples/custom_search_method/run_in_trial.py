import shadho_worker
from asha import ASHASearchMethod

from shadho_like import searcher

if __name__ == "__main__":
    with shadho_worker.init() as context:
        runner = searcher.CoreSearchRunner(ASHASearchMethod(), context)
        runner.run("custom_config.yaml", model_dir="model")
