"""Batch systems by their names. What one is, is in `base`; only `queue` runs anything."""

from __future__ import annotations

from collections.abc import Mapping

SYSTEMS: Mapping[str, str] = {
    "slurm": "shadho_like.batch.slurm:SLURM",
    "sge": "shadho_like.batch.sge:SGE",
    "pbs": "shadho_like.batch.pbs:PBS",
    "htcondor": "shadho_like.batch.htcondor:HTCONDOR",
}
