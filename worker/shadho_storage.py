"""A trial's own checkpoints: where it saves them, and what it goes on from.

Standard library and Python 3.8 only; the form that a checkpoint has on the disk is `shadho_checkpoint`'s.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from contextlib import contextmanager, suppress
from typing import Any, Callable, Iterator

import shadho_checkpoint
import shadho_worker
from shadho_checkpoint import ID, Checkpoint, CheckpointError, folder_of

NOT_SAVED = "shadho_worker: checkpoint not saved: "
"""How a line begins in the log of a trial that raised while it saved a checkpoint."""


class Checkpoints:
    """A trial's own checkpoints.

    Attributes:
        saved: whether this attempt has saved one.
        saved_length: how far training was at the last one, this attempt's or the one that it goes on from.
    """

    def __init__(
        self,
        root: str,
        trial: int,
        attempt: int,
        *,
        report: Callable[..., None],
        length: Callable[[], float],
        archive: str | None = None,
        refusal: str | None = None,
        period: float | None = None,
        agree: Callable[[bool], Any] = bool,
    ) -> None:
        """Prepare; nothing is made before the first checkpoint.

        Args:
            root: the folder of the experiment's checkpoints.
            trial: the trial's number.
            attempt: this attempt's number.
            report: takes a kind and fields, for the driver to read.
            length: tells how far training is.
            archive: where the newest checkpoint is also written as one file; None where `root` is the driver's own.
            refusal: why nothing may be saved or deleted here, where that is so.
            period: how much training there may be from one checkpoint to the next; None for any.
            agree: gives all processes of the trial the first one's answer.
        """
        self._root = root
        self._trial = trial
        self._attempt = attempt
        self._report = report
        self._length = length
        self._archive = archive
        self._refusal = refusal
        self._period = period
        self._agree = agree
        self._incoming = os.path.join(os.getcwd(), shadho_checkpoint.INCOMING_FILE)
        mine = [int(each.split(".")[2]) for each in shadho_checkpoint.ids(root, trial) if each.split(".")[1] == str(attempt)]
        self._number = max(mine, default=0)
        self.saved = False
        self.saved_length: float = 0

    def should_save(self) -> bool:
        """Return whether it is time for a checkpoint: `min_checkpoint_period` of training has gone by since the last one.

        How far training is, `report_progress` of the operation says. The processes of a trial are to ask together.
        """
        return bool(self._agree(self._period is not None and self._length() - self.saved_length >= self._period))

    @contextmanager
    def store_path(self, metadata: dict[str, Any] | None = None) -> Iterator[tuple[str, str]]:
        """Give a new directory's path, and an id: the checkpoint exists when the block ends without an error.

        Its length is the metadata's `steps_completed` where that is given, else how far training was last said to be.

        Raises:
            CheckpointError: the storage is not there on this machine, or this process may not save.
        """
        self._check_allowed()
        self._number += 1
        checkpoint = f"{self._trial}.{self._attempt}.{self._number}"
        final = folder_of(self._root, checkpoint)
        partial = os.path.join(os.path.dirname(final), shadho_checkpoint.PARTIAL + checkpoint)
        shutil.rmtree(partial, ignore_errors=True)
        self._make(partial)
        try:
            yield partial, checkpoint
            length = (metadata or {}).get("steps_completed", self._length())
            files = shadho_checkpoint.seal(partial, {"id": checkpoint, "length": length, "metadata": metadata or {}})
            os.rename(partial, final)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            print(f"{NOT_SAVED}{checkpoint}, {shadho_worker.describe(error)[0]}", file=sys.stderr, flush=True)
            raise
        shadho_checkpoint.sync(os.path.dirname(final))
        self.saved, self.saved_length = True, self._length()
        if self._archive is not None:
            shadho_checkpoint.pack(final, self._archive)
            self._keep_only(checkpoint)
        size, checksum = shadho_checkpoint.size_of(files), shadho_checkpoint.checksum_of(files)
        self._report("checkpoint", **Checkpoint(checkpoint, final, length, metadata or {}, size, checksum).describe())

    def _make(self, folder: str) -> None:
        """Make a checkpoint's folder. The root is its driver's to make: where it is missing, this machine sees another disk."""
        if not os.path.isdir(self._root):
            if not os.path.isdir(os.path.dirname(self._root)) or not self._is_own_root():
                where = f"the checkpoint storage {self._root} is not there on {socket.gethostname()}"
                raise CheckpointError(f"{where}: mount it there, or have checkpoints travel with checkpoint_storage={{'type': 'transfer'}}")
            os.mkdir(self._root)
        trial = os.path.dirname(folder)
        if not os.path.isdir(trial):
            os.makedirs(trial, exist_ok=True)
            shadho_checkpoint.sync(self._root)
        os.mkdir(folder)

    def _is_own_root(self) -> bool:
        """Whether the checkpoints' folder lies in this very trial's, or is one that a script made outside of any."""
        return os.path.dirname(os.path.abspath(self._root)) == os.getcwd()

    def _keep_only(self, checkpoint: str) -> None:
        """Leave no more of this trial's on the worker's disk than the one that will travel."""
        for other in shadho_checkpoint.ids(self._root, self._trial):
            if other != checkpoint:
                shutil.rmtree(folder_of(self._root, other), ignore_errors=True)

    @contextmanager
    def save_path(self) -> Iterator[str]:
        """Give a new directory's path: it becomes a checkpoint when the block ends without an error.

        Raises:
            CheckpointError: as `store_path`.
        """
        with self.store_path() as (path, _):
            yield path

    @contextmanager
    def restore_path(self, checkpoint: str) -> Iterator[str]:
        """Give the path of a checkpoint of this experiment.

        Raises:
            CheckpointError: it is not there, torn or altered.
        """
        yield shadho_checkpoint.read(self._root, checkpoint).path

    def get_metadata(self, checkpoint: str) -> dict[str, Any]:
        """Return what was stored with a checkpoint.

        Raises:
            CheckpointError: it is not there, torn or altered.
        """
        return shadho_checkpoint.read(self._root, checkpoint).metadata

    def delete(self, checkpoint: str) -> None:
        """Remove a checkpoint of this trial.

        Raises:
            CheckpointError: it is another trial's, or that is no id, or this process may not delete.
        """
        self._check_allowed()
        path = folder_of(self._root, checkpoint)
        if checkpoint.partition(".")[0] != str(self._trial):
            raise CheckpointError(f"checkpoint {checkpoint} is not this trial's, and may be needed there")
        if not os.path.isdir(path):
            return
        # Under another name first: half of it must not look like a torn one.
        doomed = os.path.join(os.path.dirname(path), shadho_checkpoint.PARTIAL + checkpoint)
        os.rename(path, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        if self._archive is not None and int(checkpoint.split(".")[1]) == self._attempt:
            with suppress(FileNotFoundError):
                os.unlink(self._archive)
        self._report("checkpoint_deleted", id=checkpoint)

    def _check_allowed(self) -> None:
        if self._refusal is not None:
            raise CheckpointError(self._refusal)

    def latest(self, start_from: str | None = None) -> Checkpoint | None:
        """Return the newest checkpoint that is whole; of this trial, else of what it is to start from: an id, or a trial's number.

        A torn or altered one is reported, and the one before it is taken. What earlier attempts left half-written is removed.
        """
        came = self._unpack() if os.path.exists(self._incoming) else []
        self._remove_partial()
        own = shadho_checkpoint.ids(self._root, self._trial)
        for checkpoint in dict.fromkeys((*own, *came, *self._starting(start_from))):
            try:
                found = shadho_checkpoint.read(self._root, checkpoint)
            except CheckpointError as error:
                self._report("checkpoint_lost", id=checkpoint, reason=str(error))
            else:
                self._report("resumed", **found.describe())
                return found
        self._report("resumed", id=None)
        return None

    def _remove_partial(self) -> None:
        folder = os.path.join(self._root, str(self._trial))
        with suppress(OSError):
            for name in os.listdir(folder):
                match = ID.fullmatch(name[len(shadho_checkpoint.PARTIAL) :])
                if name.startswith(shadho_checkpoint.PARTIAL) and match and int(match[2]) < self._attempt:
                    shutil.rmtree(os.path.join(folder, name), ignore_errors=True)

    def _starting(self, start_from: str | None) -> list[str]:
        if start_from is None:
            return []
        of_trial = shadho_checkpoint.ids(self._root, int(start_from.partition(".")[0]))
        return shadho_checkpoint.up_to(start_from, of_trial) if ID.fullmatch(start_from) else of_trial

    def _unpack(self) -> list[str]:
        """Take out the checkpoint that came with the trial."""
        try:
            os.makedirs(self._root, exist_ok=True)
            return [shadho_checkpoint.unpack(self._incoming, self._root)]
        except CheckpointError as error:
            self._report("checkpoint_lost", id="", reason=str(error))
            return []
        finally:
            os.unlink(self._incoming)
