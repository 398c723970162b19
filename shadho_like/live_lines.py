"""Lines that say where something stands: rewritten in place on a terminal, printed from time to time elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live
    from typing_extensions import Self

_LIVE_S, _PLAIN_S, _FIRST_S = 0.25, 20.0, 2.0


class LiveLines:
    """Standard output while something runs; a context manager."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._due_s = time.monotonic() + _FIRST_S

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            self._live = _live()
        if self._live is not None:
            self._live.start()
            self._due_s = 0.0
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        del kind, error, trace
        if self._live is not None:
            self._live.stop()
            self._live = None

    def notice(self, text: str) -> None:
        """Print a line, above the live ones where there are any."""
        if self._live is not None:
            self._live.console.print(text, markup=False, emoji=False, highlight=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def patience_s(self, longest_s: float) -> float:
        """Return how long nothing need be shown, in seconds, at most `longest_s`."""
        return max(0.0, min(longest_s, self._due_s - time.monotonic()))

    @property
    def due(self) -> bool:
        """Whether it is time to show something."""
        return time.monotonic() >= self._due_s

    def show(self, text: str) -> None:
        """Put a text in the place of the last one, or print it."""
        if self._live is None:
            self._due_s = time.monotonic() + _PLAIN_S
            print(text, flush=True)
        else:
            from rich.text import Text

            self._due_s = time.monotonic() + _LIVE_S
            self._live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


def _live() -> Live | None:
    """Return a live display, or None where the terminal cannot rewrite one."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    return Live("starting", console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
