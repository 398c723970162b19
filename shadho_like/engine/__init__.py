"""Engines: where attempts run, and the table of them by name."""

from __future__ import annotations

from collections.abc import Mapping

ENGINES: Mapping[str, str] = {
    "local": "shadho_like.engine.local:LocalEngine",
    "inprocess": "shadho_like.engine.inprocess:InProcessEngine",
    "workqueue": "shadho_like.engine.workqueue:WorkQueueEngine",
}
