# Makes .venv in the repository and installs the package with the extras in $1 ("" for none); sourced by the other scripts.
find_python() {
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.10 or later is needed, and no python3 on the PATH is that new." >&2
    return 1
}

make_environment() {
    local extras=$1 stamp=.venv/.installed wanted
    wanted="$extras $(cat setup.cfg pyproject.toml | cksum) $PWD"
    [ -x .venv/bin/python ] || "$(find_python)" -m venv .venv || {
        echo "The environment could not be made; on Debian and Ubuntu: apt-get install python3-venv" >&2
        return 1
    }
    if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extras}"
        echo "$wanted" >"$stamp"
    fi
}
