"""Keys of Determined's configurations that are refused, each with the reason: without a server they would be promises nobody keeps."""

from __future__ import annotations

from collections.abc import Mapping

_NO_CONTAINERS = "trials run as plain processes, not in containers: prepare the workers' environment instead"
_NO_ROOT = "trials have the rights of whoever runs the workers, no more and no less"
_NO_SERVER = "there is no server that could"
_SCRIPT = "what a trial does is its script's affair"
_MOUNT = "checkpoints go to folders, not to an object store: mount it on all machines, and give type: shared_fs and path"

REFUSED: Mapping[str, str] = {
    "agent_user_group": _NO_ROOT,
    "bind_mounts": "trials see their machine's file system as it is, so that there is nothing to mount: use the paths themselves",
    "container_storage": _NO_CONTAINERS,
    "data": "nothing here reads it: give paths and the like as constants among the hyperparameters, or as environment variables",
    "data_layer": "nothing here caches data sets: let the script read them from where they are",
    "debug": "there is no container to debug: a trial's whole output is in its log",
    "integrations": "no other service is called: write what should happen into the script or startup-hook.sh",
    "internal": "these are a server's own settings",
    "log_policies": f"{_NO_SERVER} watch logs; a failed trial is tried again up to max_restarts times",
    "optimizations": f"{_SCRIPT}: aggregate gradients and choose precision there",
    "pachyderm": "nothing here reads it: give paths as constants among the hyperparameters",
    "perform_initial_validation": f"{_SCRIPT}: validate there before the first step",
    "profiling": f"{_SCRIPT}: start a profiler there",
    "project": f"{_NO_SERVER} group experiments: give labels, or put their directories into one folder",
    "records_per_epoch": "lengths are not converted: give max_length and the periods in one unit",
    "registry_auth": _NO_CONTAINERS,
    "resource_manager": f"{_NO_SERVER} hand out machines: workers come by themselves, or by shadho workers submit",
    "retention_policy": "logs are kept as long as the experiment's directory is: remove it when they may go",
    "scheduling_unit": f"{_SCRIPT}: report as often as you like there",
    "security": "whoever runs the driver and the workers owns everything: file permissions decide",
    "template": f"{_NO_SERVER} keep templates: share parts with YAML's own anchors, or write the whole file",
    "tensorboard_storage": "nothing is written for TensorBoard here: let the script write where you want it",
    "user": _NO_ROOT,
    "users": _NO_ROOT,
    "work_dir": "each attempt runs in a folder of its own, made for it",
    "workspace": f"{_NO_SERVER} group experiments: give labels, or put their directories into one folder",
    "environment.add_capabilities": _NO_CONTAINERS,
    "environment.drop_capabilities": _NO_CONTAINERS,
    "environment.force_pull_image": _NO_CONTAINERS,
    "environment.image": _NO_CONTAINERS,
    "environment.pod_spec": "there is no Kubernetes here: give batch options under slurm or pbs",
    "environment.ports": _NO_CONTAINERS,
    "environment.proxy_ports": f"{_NO_SERVER} pass connections on",
    "environment.registry_auth": _NO_CONTAINERS,
    "resources.agent_label": "workers have no labels of a server's: ask for what they must have (gpu_model, gpu_memory), or name workers",
    "resources.devices": _NO_CONTAINERS,
    "resources.is_single_node": "a trial always runs on one machine",
    "resources.native_parallel": "a trial always runs on one machine; within it, the script starts what it likes (torchrun)",
    "resources.resource_manager": f"{_NO_SERVER} hand out machines: workers come by themselves, or by shadho workers submit",
    "resources.resource_pool": "there are no pools: each search has the workers that were started with its name",
    "resources.shm_size": "shared memory is the machine's own, not a container's",
    "resources.weight": "nothing shares machines out between searches by weight: give priority",
    "searcher.explore_function": "its keys stand in searcher itself here: resample_probability and perturb_factor",
    "searcher.replace_function": "its key stands in searcher itself here: truncate_fraction",
    "searcher.source_checkpoint_uuid": f"{_NO_SERVER} look the checkpoint up: let the script restore it by its path",
    "searcher.source_trial_id": f"{_NO_SERVER} look the trial up: let the script restore its checkpoint by its path",
    "searcher.max_time": "trials are trained by length alone: give max_length",
    "searcher.time_metric": "trials are trained by length alone: give max_length",
    "checkpoint_storage.access_key": _MOUNT,
    "checkpoint_storage.bucket": _MOUNT,
    "checkpoint_storage.connection_string": _MOUNT,
    "checkpoint_storage.container": _MOUNT,
    "checkpoint_storage.container_path": "there are no containers: path is the same everywhere",
    "checkpoint_storage.endpoint_url": _MOUNT,
    "checkpoint_storage.host_path": "there are no containers, and so one path only: call it path",
    "checkpoint_storage.prefix": _MOUNT,
    "checkpoint_storage.propagation": "there are no containers to mount anything into",
    "checkpoint_storage.secret_key": _MOUNT,
    "checkpoint_storage.storage_path": "there is one path only: put it behind path",
    "slurm.slots_per_trial": "it stands under resources",
    "pbs.slots_per_trial": "it stands under resources",
}
"""The reasons by path."""

REFUSED_VALUES: Mapping[str, Mapping[str, str]] = {
    "checkpoint_storage.type": dict.fromkeys(("azure", "gcs", "hdfs", "s3"), _MOUNT)
    | {"directory": "it is called shared_fs here: give type: shared_fs and path"},
    "engine": {"simulated": "a simulated search needs a model of its trials, which only a driver in Python can give (SimulatedEngine)"},
    "checkpoint_policy": dict.fromkeys(
        ("all", "best", "none"),
        "when a checkpoint is taken is the script's affair (context.checkpoint); give how many are kept: {save_trial_best: 1}",
    ),
}
"""The reasons by path and value."""
