"""The Work Queue engine keeps the engines' contract, with a real worker."""

from __future__ import annotations

from dataclasses import replace

import pytest
from contracts.engine_contract import CallableContract, CommandContract
from contracts.report_contract import ReportContract

from shadho_like.engine.base import Engine
from shadho_like.launch import Launch


class TestWorkQueueCommands(CommandContract):
    @pytest.fixture
    def engine(self, work_queue_engine: Engine, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
        if "files_go_in" in request.node.name:
            # The trials of a worker share the files that it may keep, and this one changes its input.
            monkeypatch.setattr(work_queue_engine, "open", lambda launch, opened=work_queue_engine.open: opened(_uncached(launch)))
        return work_queue_engine


class TestWorkQueueCallables(CallableContract):
    @pytest.fixture
    def engine(self, work_queue_engine: Engine) -> Engine:
        return work_queue_engine


class TestWorkQueueReports(ReportContract):
    @pytest.fixture
    def engine(self, work_queue_engine: Engine) -> Engine:
        return work_queue_engine


def _uncached(launch: Launch) -> Launch:
    return replace(launch, input_files=tuple(replace(file, cache=False) for file in launch.input_files))
