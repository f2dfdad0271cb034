#!/bin/sh
# Sets quart_app up in .venv and serves it. See `./startup.sh --help`.

usage() {
    cat <<'TEXT'
usage: ./startup.sh [--prod | --dev | --setup | --test [-- PYTEST ARGUMENTS]]

  (nothing)  set up when needed, then serve on http://127.0.0.1:8000
  --prod     the same
  --dev      serve on http://127.0.0.1:5000 with debug logs; start again when a .py file changes
  --setup    set up and stop
  --test     set up, check format, lint and types, run the tests;
             with arguments after --, run only pytest with them
  --help     this text

PYTHON=/path/to/python chooses another interpreter than the newest one found.
TEXT
}

EX_USAGE=64       # a flag that does not exist
EX_UNAVAILABLE=69 # Python, venv, pip or a package is missing

fail() {
    echo "startup.sh: $1" >&2
    exit "$EX_UNAVAILABLE"
}

mode=--prod
case ${1-} in
    --prod | --dev | --setup | --test) mode=$1 && shift ;;
    --help | -h) usage && exit 0 ;;
esac
if [ "$mode" = --test ] && [ "${1-}" = -- ]; then
    shift
    only_pytest=yes
elif [ $# -gt 0 ]; then
    case $mode:$1 in
        *:--prod | *:--dev | *:--setup | *:--test) echo "startup.sh: one flag only, not $mode and $1" >&2 ;;
        --test:*) echo "startup.sh: unknown argument: $1 (for pytest: ./startup.sh --test -- $*)" >&2 ;;
        *) echo "startup.sh: unknown argument: $1" >&2 ;;
    esac
    usage >&2
    exit "$EX_USAGE"
fi

CDPATH='' cd -- "$(dirname -- "$0")" || exit 1
python=.venv/bin/python

is_new_enough() {
    # Run it: a name on the PATH may be a version manager's stand-in for a Python that is not installed.
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

can_make_venv() {
    "$1" -c 'import venv, ensurepip' 2>/dev/null
}

find_python() {
    found=
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        is_new_enough "$name" || continue
        can_make_venv "$name" && found=$name && return
        without_venv=$name
    done
    if [ -n "${without_venv-}" ]; then
        package=$("$without_venv" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        fail "$without_venv has no venv and pip; install them (Debian, Ubuntu: sudo apt install $package)"
    elif [ -n "${PYTHON-}" ]; then
        fail "PYTHON=$PYTHON is not Python 3.11 or newer"
    fi
    fail "Python 3.11 or newer is missing; install it (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python)"
}

make_venv() {
    if [ -x $python ] && is_new_enough $python; then
        return
    fi
    find_python
    echo "startup.sh: making .venv with $("$found" --version)" >&2
    "$found" -m venv --clear .venv || fail "$found could not make .venv; see the lines above"
}

# install FILE: only when FILE (or what it includes) has changed since the last time, so that a second start is quick.
install() {
    stamp=.venv/.installed-$1
    now=$(cksum requirements*.txt && $python --version)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$now" ]; then
        return
    fi
    echo "startup.sh: installing $1" >&2
    $python -m pip --version >/dev/null 2>&1 || $python -m ensurepip >/dev/null 2>&1 ||
        fail "pip is missing in .venv; remove the folder .venv and start again"
    $python -m pip install --quiet --disable-pip-version-check -r "$1" ||
        fail "pip could not install $1; see the lines above"
    echo "$now" >"$stamp"
}

check() {
    echo "startup.sh: $*" >&2
    $python -m "$@" || exit 1
}

make_venv
case $mode in
    --setup)
        install requirements.txt
        echo "startup.sh: ready; start with ./startup.sh" >&2
        ;;
    --test)
        install requirements-dev.txt
        # The tests choose their own settings.
        for name in $(env | sed -n 's/^\(QUART_APP_[A-Z_]*\)=.*/\1/p'); do
            unset "$name"
        done
        if [ -z "${only_pytest-}" ]; then
            check ruff format --check .
            check ruff check .
            check mypy
            echo "startup.sh: pytest" >&2
        fi
        # The whole suite three tests at a time: most wait for real processes.
        [ $# -gt 0 ] || set -- -n 3 --dist load --maxschedchunk 4
        exec $python -m pytest "$@"
        ;;
    --dev)
        install requirements.txt
        export QUART_APP_BIND="${QUART_APP_BIND-127.0.0.1:5000}" QUART_APP_LOG_LEVEL="${QUART_APP_LOG_LEVEL-DEBUG}"
        exec $python startup_dev.py
        ;;
    --prod)
        install requirements.txt
        exec $python -m quart_app
        ;;
esac
