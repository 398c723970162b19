#!/usr/bin/env bash
# Makes .venv, installs the package, and searches for the smallest sin(x) on this machine: the first thing to run.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
[ -f .venv/.installed ] || make_environment ""
cd examples/sin_local
exec ../../.venv/bin/python driver.py
