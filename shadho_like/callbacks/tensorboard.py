"""Trials as runs of TensorBoard: `tensorboard --logdir runs`."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shadho_like.callbacks.base import Callback, Search, flat
from shadho_like.errors import OptionError
from shadho_like.trial import Trial

_MOST_OPEN = 64


class TensorBoard(Callback):
    """Writes a run for each trial: its numbers by length as scalars, its hyperparameters with the searched metric at its end.

    Args:
        folder: where the runs are to be; each search gets a folder of its name in it.

    Raises:
        OptionError: tensorboardX is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            import tensorboardX
            from tensorboardX.summary import hparams
        except ImportError as error:
            message = "TensorBoard needs tensorboardX: pip install 'shadho_like[tensorboard]'"
            raise OptionError(message) from error
        self._make, self._hparams = tensorboardX.SummaryWriter, hparams
        self._folder = Path(folder).absolute()
        self._numbers = itertools.count()
        self._writers: OrderedDict[int, Any] = OrderedDict()

    def begin(self, search: Search) -> None:
        """Take the search's name."""
        self._search = search

    def measured(self, trial: Trial, kind: str, length: float, metrics: Mapping[str, float]) -> None:
        """Add scalars: what the search method was told as it is called, what was reported meanwhile by its kind."""
        for name, value in metrics.items():
            tag = name if kind == "result" else f"{kind}/{name}"
            self._writer(trial).add_scalar(tag, value, round(length))

    def ended(self, trial: Trial) -> None:
        """Add the hyperparameters."""
        if trial.metric is not None:
            # Not `add_hparams`: it opens the same second's file once more, and both write into it.
            for summary in self._hparams(flat(trial), {self._search.metric: trial.metric}):
                self._writer(trial).file_writer.add_summary(summary)
        if trial.number in self._writers:
            self._writers.pop(trial.number).close()

    def end(self) -> None:
        """Close all files."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _writer(self, trial: Trial) -> Any:
        """Return the writer of a trial, of which some are open at a time; one that is opened again adds a file."""
        number = trial.number
        if number not in self._writers:
            while len(self._writers) >= _MOST_OPEN:
                self._writers.popitem(last=False)[1].close()
            folder = self._folder / self._search.directory.name / f"trial-{number:06d}"
            # Files are named after the second; one that is opened again within it would lose what it held.
            self._writers[number] = self._make(str(folder), filename_suffix=f".{next(self._numbers)}")
        self._writers.move_to_end(number)
        return self._writers[number]
