"""The folder of an experiment's checkpoints on a file system that workers see too. A file in it says whose it is: a copy of the
experiment's directory names the same folder, and must neither write to it nor remove what lies there.
"""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from pathlib import Path

from shadho_like.checkpoint_storage import CheckpointStorage
from shadho_like.errors import ExperimentChanged, JournalError
from shadho_like.journal import CHECKPOINT_ROOT, Journal, JournalReader
from shadho_like.known_experiments import KnownExperiment, Whereabouts, known_experiments, of_journal, read_known, write_known

MARK = "experiment.json"
"""The name of the file that says whose the folder is."""

_NAME = re.compile(r".+\.[0-9a-f]{8}", re.DOTALL)


def shared_root(journal: Journal, storage: CheckpointStorage, directory: Path) -> Path | None:
    """Return the folder of an experiment's checkpoints on a file system that workers see too; None where checkpoints travel.

    It is the experiment's own, and stays the same: it has a part of its name that no other experiment has.

    Raises:
        ExperimentChanged: the checkpoints that are there are elsewhere, or those of the experiment that this one is a copy of.
    """
    held = journal.meta(CHECKPOINT_ROOT)
    if held is None and storage.path is None:
        return None
    owner = other_owner(Path(held), directory) if held else None
    if (held is None or owner) and storage.path is not None and not journal.reported.any:
        root = Path(storage.path, f"{directory.name}.{uuid.uuid4().hex[:8]}")
    elif held is not None and storage.path is not None and Path(storage.path, Path(held).name).is_dir():
        root = Path(storage.path, Path(held).name)
        _check_owner(root, other_owner(root, directory), directory)
    else:
        where = f'{{"type": "shared_fs", "path": {str(Path(held).parent)!r}}}' if held else '{"type": "transfer"}'
        asked = f"not in {storage.path}" if storage.path else "and do not travel"
        message = f"the checkpoints of {directory} are in {held or directory}, {asked}: give checkpoint_storage={where}, or move them there"
        raise ExperimentChanged(message)
    if str(root) != held:
        journal.keep_meta(CHECKPOINT_ROOT, str(root))
    return root


def claim(journal: Journal, root: Path | None, directory: Path) -> list[str]:
    """Write whose the folder of checkpoints is, once the experiment has its id; return what is to be said."""
    if root is None:
        return []
    try:
        write_known(root / MARK, of_journal(journal, directory))
    except OSError as error:
        return [f"{root / MARK} cannot be written ({error.strerror}): a copy of {directory} may remove the checkpoints there"]
    return []


def other_owner(root: Path, directory: Path) -> KnownExperiment | None:
    """Return the experiment in another directory whose checkpoints are in `root`; None where nothing says that there is one.

    In folders of experiments that began before there was a mark, a known experiment that names the folder owns it.
    """
    mark = read_known(root / MARK)
    if mark is None:
        known = (each for each in known_experiments() if not each.is_in(directory) and each.whereabouts() is Whereabouts.HERE)
        return next((each for each in known if _names(each.directory, root)), None)
    if mark.is_in(directory) or (where := mark.whereabouts()) is Whereabouts.GONE:
        return None
    return mark if where is Whereabouts.ELSEWHERE or _names(mark.directory, root) is not False else None


def check_own(journal: JournalReader, directory: Path) -> None:
    """Refuse to touch the checkpoints of another experiment.

    Raises:
        ExperimentChanged: the one in `directory` is a copy, and they are those of the experiment that it was copied from.
    """
    _check_owner(journal.checkpoint_root, other_owner(journal.checkpoint_root, directory), directory)


def may_remove(root: Path, experiment_id: str | None, directory: Path) -> bool:
    """Return whether the folder of checkpoints goes with the experiment that names it."""
    mark = read_known(root / MARK)
    named = _NAME.fullmatch(root.name) is not None and not root.is_symlink() and root.is_dir()
    return named and (mark is None or mark.id == experiment_id) and other_owner(root, directory) is None


def _names(directory: Path, root: Path) -> bool | None:
    """Return whether the experiment in a directory names this folder as that of its checkpoints; None where it cannot be read."""
    with suppress(OSError, JournalError), JournalReader(directory) as journal:
        return journal.checkpoint_root.resolve() == root.resolve()
    return None


def _check_owner(root: Path, owner: KnownExperiment | None, directory: Path) -> None:
    if owner is None:
        return
    whose = f"experiment {owner.id} ({owner.name}) in {owner.directory} on {owner.host}, whose checkpoints are in {root}"
    hint = "copy that folder into another, and give that as the path of checkpoint_storage"
    other = f"only if {owner.directory} is no more, remove {root / MARK}"
    message = f"{directory} is a copy of {whose}: {hint}; {other}"
    raise ExperimentChanged(message)
