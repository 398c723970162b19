"""The user's constructors of whole spaces: which domains are drawn together, how often, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from shadho_like.space.build import Derived, Repeat, Scope, Sequential
from shadho_like.space.domains import Exhaustive


def scope(*, exclusive: bool = False, optional: bool = False, **domains: Any) -> Scope:
    """Return domains that are drawn together.

    Args:
        exclusive: exactly one of them is drawn, each as likely as any other.
        optional: all or nothing, each half of the time.
        domains: the children, anything that a search space may hold.
    """
    return Scope(domains, exclusive, optional)


def repeat(domain: Any, n: int) -> Repeat:
    """Return a list of 1 to n draws of a domain, every length as likely as any other."""
    return Repeat(domain, n)


def sequential(*domains: Any) -> Sequential:
    """Return a list with one draw of each domain, in order."""
    return Sequential(domains)


def dependent(domain: Any, callback: Callable[..., Any]) -> Derived:
    """Return a value that follows from the others.

    Args:
        domain: what to draw first, or None.
        callback: called as `callback(drawn, sample)`, or `callback(sample)` without a domain, once all plain domains of the
            sample are drawn; dependent values are computed in the order of their paths. It returns a JSON value.
    """
    return Derived(domain, callback)


def exhaustive(values: Sequence[Any]) -> Exhaustive:
    """Return values that take turns from trial to trial: each combination of all exhaustive domains comes once before any twice.

    Inside a scope that is not always drawn the turns are those of the trials, so that a value may come again early there.
    """
    return Exhaustive(values)
