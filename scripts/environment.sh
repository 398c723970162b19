# Sourced by the other scripts, in the repository's root: makes .venv and installs the package into it, unless that is done.

find_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: Python 3.10 or later is needed, and no python3 on the PATH is that new" >&2
    return 1
}

# make_environment NAME REQUIREMENT: a stamp, .venv/.installed-NAME, holds what the environment was made from. What `dev`
# installs is enough for everything.
make_environment() {
    local python stamp wanted
    wanted="$(cat setup.cfg pyproject.toml | cksum) $PWD"
    for stamp in .venv/.installed-dev ".venv/.installed-$1"; do
        if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
            return
        fi
    done
    echo "installing into $PWD/.venv"
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python) || return 1
        if ! "$python" -m venv .venv; then
            rm -rf .venv
            echo "error: $python cannot make an environment; on Debian and Ubuntu: apt-get install python3-venv" >&2
            return 1
        fi
    fi
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable "$2" || return 1
    echo "$wanted" >"$stamp"
}
