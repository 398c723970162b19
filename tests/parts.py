"""Parts that not everybody has: a test that needs one is skipped at home where it is missing, and fails in CI."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

_PACKAGES = {"sklearn": "scikit-learn"}
NOT_IN_CI = "torch"
"""What the extra `dev` leaves out, and CI does without: with what it draws in from PyPI it takes gigabytes."""


def need(*modules: str) -> None:
    """Skip or fail the test at hand unless these modules are installed; the reason says how to install them."""
    missing = [module for module in modules if find_spec(module) is None]
    if not missing:
        return
    reason = f"{' and '.join(missing)} missing: pip install {' '.join(_PACKAGES.get(module, module) for module in missing)}"
    if NOT_IN_CI in missing:
        pytest.skip(f"{reason}; CI does without {NOT_IN_CI}, which takes gigabytes")
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
