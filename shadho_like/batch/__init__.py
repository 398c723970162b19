"""Batch systems: the script that puts workers into a queue, and the commands that submit, list and end them. Nothing is run here
but by `queue`."""

from __future__ import annotations

from collections.abc import Mapping

SYSTEMS: Mapping[str, str] = {
    "slurm": "shadho_like.batch.slurm:SLURM",
    "sge": "shadho_like.batch.sge:SGE",
    "pbs": "shadho_like.batch.pbs:PBS",
    "htcondor": "shadho_like.batch.htcondor:HTCONDOR",
}
