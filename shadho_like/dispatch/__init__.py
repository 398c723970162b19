"""Which waiting attempt goes next, when, and to which compute class. Pure: it knows neither engines nor clocks."""

from __future__ import annotations

from shadho_like.dispatch.assignment import Assignment, Orders
from shadho_like.dispatch.rules import MeasuredCost, RankOrder, Rule, Wait
from shadho_like.dispatch.run_times import RunTimes
from shadho_like.dispatch.waiting import WaitingAttempts

__all__ = ["Assignment", "MeasuredCost", "Orders", "RankOrder", "Rule", "RunTimes", "Wait", "WaitingAttempts"]
