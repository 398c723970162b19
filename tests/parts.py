"""Parts that not everybody has: a test that needs one is skipped at home where it is missing, and fails in CI. And the tests that take long."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

LONG = pytest.mark.timeout(3600)
"""Marks a test that takes most of a minute by itself: on a busy machine that is many."""
_PACKAGES = {"material": "mkdocs-material", "mkdocstrings_handlers": "mkdocstrings-python", "sklearn": "scikit-learn"}


def lack(reason: str) -> None:
    """Skip the test at hand, or the module that is being imported, for want of a part; or fail it in CI, which tests everything."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def need(*modules: str) -> None:
    """Skip or fail the test at hand unless these modules are installed; the reason says how to install them."""
    missing = [module for module in modules if find_spec(module) is None]
    if not missing:
        return
    reason = f"{' and '.join(missing)} missing: pip install {' '.join(_PACKAGES.get(module, module) for module in missing)}"
    lack(reason)
