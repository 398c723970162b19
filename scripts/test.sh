#!/usr/bin/env bash
# Runs everything that must hold: style, types, import contracts, tests. Arguments go to pytest.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/environment.sh
make_environment "[dev]" || exit 1

if ! command -v work_queue_worker >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends coop-computing-tools python3-workqueue >/dev/null
    else
        echo "Work Queue is missing, its tests are skipped. Install it with 'apt-get install coop-computing-tools python3-workqueue'" >&2
        echo "on Debian, or 'conda install -c conda-forge ndcctools' elsewhere." >&2
    fi
fi

failed=()
check() {
    local name=$1
    shift
    echo "== $name"
    "$@" || failed+=("$name")
}
check ruff .venv/bin/ruff check
check mypy .venv/bin/mypy
check import-linter .venv/bin/lint-imports
check pytest .venv/bin/python -m pytest -q "$@"
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
