"""A point's job, and what became of it. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shadho_like.engine.jobs import JobEnd

if TYPE_CHECKING:
    from shadho_like.configs import Config
    from shadho_like.runner.configs.search_configs import SearchConfig

LOG_NAME = "experiment_output.log"


@dataclass(frozen=True, slots=True)
class GPUJobResult:
    """What became of a job.

    Attributes:
        success: whether it returned.
        error: why it failed, and the last lines that it printed; None where it did not.
        gpu_id: the GPU that it ran on, a number where it has one; None for the processor.
        out_file: the file with all that it printed; None where that was thrown away.
        job: the job.
        result: what its `run` returned.
    """

    success: bool
    error: str | None
    gpu_id: int | str | None
    out_file: str | None
    job: Any
    result: Any = None

    @classmethod
    def of(cls, job: Any, end: JobEnd, out_file: str | None) -> GPUJobResult:
        """Return what the end of a job means for its user."""
        gpu_id = int(end.device) if end.device is not None and end.device.isdecimal() else end.device
        if end.failure is None:
            return cls(success=True, error=None, gpu_id=gpu_id, out_file=out_file, job=job, result=end.value)
        error = "\n".join(filter(None, (end.failure.message, end.failure.log_tail)))
        return cls(success=False, error=error, gpu_id=gpu_id, out_file=out_file, job=job)


@dataclass(frozen=True, slots=True)
class ExperimentJob:
    """One experiment of a search.

    Attributes:
        search: the search's config, which knows how to run it.
        config: the experiment's config, final.
        base_dir: the folder for what the experiment writes.
        digest: of the experiment's config; a job with the same one is the same job.
        values: the point: the values of the properties that are searched.
    """

    search: SearchConfig
    config: Config
    base_dir: str
    digest: str
    values: dict[str, Any]

    def run(self) -> Any:
        """Run the experiment."""
        return self.search.run_experiment_config(self.config)

    def get_out_file(self) -> str:
        """Return the path of the file for all that it prints."""
        return f"{self.base_dir}/{LOG_NAME}"
