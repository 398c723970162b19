#!/usr/bin/env bash
# Makes .venv, installs what the tests need, and runs everything that must hold: scripts/check.sh, then pytest, which gets the
# arguments and has the last line.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/environment.sh
make_environment dev ".[dev]" || exit 1
# The extra `dev` leaves it out: with what it draws in from PyPI it may take gigabytes.
if [ -n "${CI:-}" ] && ! .venv/bin/python -c 'import scipy, torch' 2>/dev/null; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check scipy torch==2.13.0 || exit 1
fi

has_work_queue() {
    command -v work_queue_worker >/dev/null || return 1
    local python
    for python in .venv/bin/python python3 /usr/bin/python3; do
        "$python" -c 'import ndcctools.work_queue' || "$python" -c 'import work_queue' && return
    done 2>/dev/null
    return 1
}

install_work_queue() {
    apt-get update -qq && apt-get install -y -qq --no-install-recommends coop-computing-tools python3-workqueue
}

if ! has_work_queue && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Work Queue"
    DEBIAN_FRONTEND=noninteractive install_work_queue </dev/null >/dev/null
fi
if ! has_work_queue; then
    echo "Work Queue is not installed, so its tests cannot run. Debian, Ubuntu: apt-get install coop-computing-tools" >&2
    echo "python3-workqueue; elsewhere: conda install -c conda-forge ndcctools" >&2
fi

has_slurm() {
    command -v sbatch >/dev/null && PATH="$PATH:/usr/sbin" command -v slurmctld slurmd >/dev/null
}

# Of this one only the programs are wanted: no daemon is to run but those that the tests start.
if ! has_slurm && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Slurm"
    (DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends slurm-wlm </dev/null >/dev/null)
fi
if ! has_slurm; then
    echo "Slurm is not installed, so its tests cannot run. Debian, Ubuntu: apt-get install slurm-wlm" >&2
fi

has_chromium() {
    command -v chromium >/dev/null && command -v chromedriver >/dev/null
}

if ! has_chromium && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Chromium"
    (DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver </dev/null >/dev/null)
fi
if ! has_chromium; then
    echo "Chromium is not installed, so the tests of the dashboard's pages cannot run. Debian: apt-get install chromium chromium-driver" >&2
fi

bash scripts/check.sh
checked=$?
echo "== pytest"
.venv/bin/python -m pytest "$@" && [ $checked -eq 0 ]
