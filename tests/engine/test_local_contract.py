"""The local engine and the one in this process keep the engines' contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contracts.engine_contract import CallableContract, CommandContract
from contracts.report_contract import ReportContract

from shadho_like.engine.base import Engine
from shadho_like.engine.inprocess import InProcessEngine
from shadho_like.engine.local import LocalEngine


@pytest.fixture
def local() -> Iterator[Engine]:
    engine = LocalEngine(2)
    yield engine
    engine.close()


class TestLocalCallables(CallableContract):
    @pytest.fixture
    def engine(self, local: Engine) -> Engine:
        return local


class TestLocalCommands(CommandContract):
    @pytest.fixture
    def engine(self, local: Engine) -> Engine:
        return local


class TestLocalReports(ReportContract):
    @pytest.fixture
    def engine(self, local: Engine) -> Engine:
        return local


class TestInProcess(CallableContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        engine = InProcessEngine()
        yield engine
        engine.close()
