"""Every key of a configuration with its type, its default and what it does: what validation, `--help` and the documentation say of it.

The keys of `hyperparameters` are the user's own, and a search method's keys are its own (`searcher.own_keys`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from shadho_like.experiment_config import values
from shadho_like.experiment_config.values import Check
from shadho_like.launch import MOST_PRIORITY

CUSTOM = "custom"
"""The searcher whose method the user's own program brings."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that a configuration may have.

    Attributes:
        path: `resources.max_slots`.
        type: of its value, for people.
        default: where it is left out, for people; empty where that is nothing.
        says: what it does, in a sentence.
        check: says what is wrong with a value.
        needed: whether its section cannot do without.
    """

    path: str
    type: str
    default: str
    says: str
    check: Check
    needed: bool = False

    @property
    def section(self) -> str:
        """The path of the mapping that it stands in; empty for the configuration."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The key itself."""
        return self.path.rpartition(".")[2]


_COUNT = values.whole(1)
_KEPT = values.whole(0)
_SIZE = "whole number of MiB"
_LENGTH = "length"

KEYS: tuple[Key, ...] = (
    Key("name", "text", "the file's name", "What the experiment is called, and on Work Queue what its workers ask for.", values.name),
    Key("description", "text", "", "What people are told of the experiment.", values.any_text),
    Key("labels", "list of texts", "[]", "Words by which people find the experiment.", values.texts),
    Key("entrypoint", "command, module:function, or list of words", "", "What a trial runs.", values.entrypoint),
    Key("hyperparameters", "mapping", "{}", "The search space.", values.anything),
    Key("searcher", "mapping", "", "The search method, its metric and its keys.", values.anything, needed=True),
    Key("searcher.name", "search method, or custom", "", "The search method.", values.text, needed=True),
    Key("searcher.metric", "text", "", "The name of the searched metric.", values.text, needed=True),
    Key("searcher.smaller_is_better", "true or false", "true", "Whether the metric is minimised.", values.switch),
    Key("max_restarts", "whole number", "5", "How often a trial is tried again after its own code failed.", values.whole(0)),
    Key(
        *("min_checkpoint_period", _LENGTH, "none"),
        "Training after which context.checkpoint.should_save() asks for a checkpoint.",
        values.length(0),
    ),
    Key(
        *("min_validation_period", _LENGTH, "none"),
        "Training after which context.train.should_validate() asks for a validation.",
        values.length(0),
    ),
    Key("preemption_timeout", "seconds", "60", "How long a trial that is asked to end has to take a checkpoint.", values.seconds),
    Key("checkpoint_storage", "mapping", "transfer", "Where checkpoints are kept.", values.anything),
    Key(
        *("checkpoint_storage.type", "shared_fs or transfer", ""),
        "A folder that all machines see, or the experiment's own directory.",
        values.one_of("shared_fs", "transfer"),
        needed=True,
    ),
    Key("checkpoint_storage.path", "absolute path", "", "The folder of shared_fs.", values.path),
    Key("checkpoint_storage.save_experiment_best", "whole number", "0", "The same as in checkpoint_policy.", _KEPT),
    Key("checkpoint_storage.save_trial_best", "whole number", "1", "The same as in checkpoint_policy.", _KEPT),
    Key("checkpoint_storage.save_trial_latest", "whole number", "1", "The same as in checkpoint_policy.", _KEPT),
    Key("checkpoint_policy", "mapping", "", "Which checkpoints are kept; what any of the three keeps is kept.", values.anything),
    Key("checkpoint_policy.save_experiment_best", "whole number", "0", "So many of the best of all trials.", _KEPT),
    Key("checkpoint_policy.save_trial_best", "whole number", "1", "So many of the best of each trial.", _KEPT),
    Key("checkpoint_policy.save_trial_latest", "whole number", "1", "So many of the newest of each trial.", _KEPT),
    Key("resources", "mapping", "{}", "What a trial needs, and how much of it the search may have.", values.anything),
    Key("resources.slots_per_trial", "whole number, or a share of one", "any", "GPUs of each trial; 0 hides them.", values.gpus),
    Key("resources.max_slots", "whole number", "no limit", "GPUs of all running trials; one that asks for none counts as one.", _COUNT),
    Key(
        *("resources.priority", f"1 to {MOST_PRIORITY}", "42"),
        "Workers go to the smallest first of the searches of one name in $SHADHO_HOME; above 42, trials on this machine yield to others.",
        values.whole(1, MOST_PRIORITY),
    ),
    Key("resources.cores", "whole number", "1", "Processor cores of each trial.", _COUNT),
    Key("resources.memory", _SIZE, "any", "Memory of each trial.", _COUNT),
    Key("resources.disk", _SIZE, "any", "Room on the disk of each trial.", _COUNT),
    Key("resources.gpu_memory", _SIZE, "any", "Memory that each of its GPUs must have.", _COUNT),
    Key("resources.gpu_model", "text", "any", "The model of its GPUs, or some words of its name.", values.text),
    Key("environment", "mapping", "{}", "What a trial finds around it.", values.anything),
    Key(
        *("environment.environment_variables", "list of NAME=VALUE, or mapping", "[]"),
        "Variables of every attempt; under cpu and cuda, those of trials without and with GPUs.",
        values.anything,
    ),
    Key("engine", "auto, local or workqueue", "auto", "Where trials run.", values.one_of("auto", "local", "workqueue")),
    Key("reproducibility", "mapping", "", "What makes two searches the same.", values.anything),
    Key("reproducibility.experiment_seed", "whole number", "drawn", "The same seed gives the same trials.", values.whole(0, 2**31 - 1)),
    *(
        Key(f"{system}{name}", kind, default, says, check)
        for system, arguments in (("slurm", "sbatch_args"), ("pbs", "pbsbatch_args"))
        for name, kind, default, says, check in (
            ("", "mapping", "", f"The workers of `shadho workers submit --config`, on {system.upper()}.", values.anything),
            (".workers", "whole number", "1", "How many workers.", _COUNT),
            (".slots_per_node", "whole number", "slots_per_trial", "GPUs of each worker.", values.whole(0)),
            (".cores", "whole number", "resources.cores", "Processor cores of each worker.", _COUNT),
            (".memory", "16G, or MiB", "the queue's", "Memory of each worker.", values.memory),
            (".time", "minutes, 4:00:00 or 2-12", "the queue's", "How long each worker may stay.", values.clock),
            (f".{arguments}", "list of texts", "[]", "What else the batch system is told, in its own words.", values.texts),
        )
    ),
    Key("slurm.gpu_type", "text", "any", "The type of the GPUs, as in --gres=gpu:TYPE:1.", values.text),
)
"""All keys, each section after the keys of the configuration itself that open it."""

SECTIONS: frozenset[str] = frozenset(key.section for key in KEYS) - {""}


def keys_in(section: str) -> Iterator[Key]:
    """Yield the keys of a section; those of the configuration itself for an empty one."""
    return (key for key in KEYS if key.section == section)
