#!/usr/bin/env bash
# Makes .venv, installs the package, and searches for the smallest sin(x) on this machine: the first thing to run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh
make_environment package .
cd examples/sin_local
exec ../../.venv/bin/python driver.py
