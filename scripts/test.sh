#!/usr/bin/env bash
# Makes .venv, installs what the tests need, and runs everything that must hold: scripts/check.sh and all tests, side by side
# (scripts/all_tests.py). With arguments it runs scripts/check.sh, then pytest, which gets them. pytest has the last line.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh

install_packages() {
    make_environment dev ".[dev]" || return 1
    # The extra `dev` leaves it out: with what it draws in from PyPI it may take gigabytes.
    if [ -n "${CI:-}" ] && ! .venv/bin/python -c 'import scipy, torch' 2>/dev/null; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check scipy torch==2.13.0
    fi
}

has_work_queue() {
    command -v work_queue_worker >/dev/null || return 1
    local python
    for python in .venv/bin/python python3 /usr/bin/python3; do
        "$python" -c 'import ndcctools.work_queue' || "$python" -c 'import work_queue' && return
    done 2>/dev/null
    return 1
}

has_slurm() {
    command -v sbatch >/dev/null && PATH="$PATH:/usr/sbin" command -v slurmctld slurmd >/dev/null
}

has_grid_engine() {
    [ -x /usr/lib/gridengine/sge_qmaster ] && [ -x /usr/lib/gridengine/sge_execd ] && [ -x /usr/lib/gridengine/qsub ]
}

has_chromium() {
    command -v chromium >/dev/null && command -v chromedriver >/dev/null
}

# need CHECK NAME PACKAGE...: of these only the programs are wanted, so that no daemon is to run but those that the tests start.
need() {
    local check=$1 name=$2
    shift 2
    "$check" && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "installing $name"
        apt-get update -qq </dev/null >/dev/null
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
    fi
    "$check" || echo "$name is not installed, so its tests cannot run. Debian, Ubuntu: apt-get install $*" >&2
}

install_programs() {
    need has_work_queue "Work Queue" coop-computing-tools python3-workqueue
    has_work_queue || echo "elsewhere: conda install -c conda-forge ndcctools" >&2
    need has_slurm Slurm slurm-wlm
    need has_grid_engine "Grid Engine" gridengine-master gridengine-exec gridengine-client
    need has_chromium Chromium chromium chromium-driver
}

install_programs &
install_packages
installed=$?
wait
[ $installed -eq 0 ] || exit 1
if [ $# -eq 0 ]; then
    exec .venv/bin/python scripts/all_tests.py
fi
bash scripts/check.sh
checked=$?
echo "== pytest"
.venv/bin/python -m pytest "$@" && [ $checked -eq 0 ]
