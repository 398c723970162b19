#!/usr/bin/env bash
# Runs what must hold before any test: lint, types, import contracts. Runs all three, and says which failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh
make_environment dev ".[dev]" || exit 1

failed=()
check() {
    echo "== $*"
    ".venv/bin/$1" "${@:2}" || failed+=("$1")
}
check ruff check
check mypy
check lint-imports
if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
