# shellcheck shell=bash
# Sourced by the scripts beside it: finds Python, a C compiler and Python's headers, and keeps .venv installed and fresh.
#
# Says everything that is missing at once, with the command that installs it, and ends with exit code 2.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=${FASTLOAD_VENV:-$root/.venv}
compiler=${CC:-cc}

# find_python: sets `python` to the first interpreter that is 3.11 or newer, or to nothing.
find_python() {
    local candidate
    python=
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$(command -v "$candidate")
            return
        fi
    done
}

# compiles: does the compiler accept the program on standard input, given these flags?
compiles() {
    "$compiler" "$@" -fsyntax-only -x c - 2>/dev/null
}

has_headers() {
    [ -e "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]
}

# install_hint: one command for the distribution this is.
install_hint() {
    local id=
    [ -r /etc/os-release ] && id=$(. /etc/os-release && printf '%s %s' "${ID:-}" "${ID_LIKE:-}")
    case " $id " in
    *debian* | *ubuntu*) printf '    sudo apt-get update && sudo apt-get install -y python3 python3-venv python3-dev gcc libc6-dev\n' ;;
    *fedora* | *rhel* | *centos*) printf '    sudo dnf install -y python3 python3-devel gcc glibc-devel\n' ;;
    *alpine*) printf '    sudo apk add python3 python3-dev gcc musl-dev linux-headers bash\n' ;;
    *)
        printf '    Debian, Ubuntu: apt-get install python3 python3-venv python3-dev gcc libc6-dev\n'
        printf '    Fedora, RHEL:   dnf install python3 python3-devel gcc glibc-devel\n'
        printf '    Alpine:         apk add python3 python3-dev gcc musl-dev linux-headers\n'
        ;;
    esac
}

# require_tools: end with exit code 2 unless everything a build needs is there.
require_tools() {
    local missing=()
    [ "$(uname -s)" = Linux ] || missing+=("Linux: fastload is built on epoll and SO_TIMESTAMPNS, this is $(uname -s)")
    find_python
    if [ -z "$python" ]; then
        missing+=("Python 3.11 or newer (another one is named by PYTHON=/path/to/python3)")
    else
        "$python" -c 'import ensurepip, venv' 2>/dev/null || missing+=("Python's venv module, for $python")
        has_headers || missing+=("Python's C headers (Python.h), for $python")
    fi
    if ! command -v "$compiler" >/dev/null; then
        missing+=("a C compiler (looked for \`$compiler\`; another one is named by CC=...)")
    elif ! printf '#include <stdatomic.h>\n#include <sys/epoll.h>\n' | compiles -std=c11; then
        missing+=("a C11 compiler with the C library's headers (\`$compiler\` found, but it cannot compile)")
    fi
    [ ${#missing[@]} -eq 0 ] && return
    {
        printf 'fastload cannot be built here. Missing:\n'
        printf '  - %s\n' "${missing[@]}"
        printf 'Install with:\n'
        install_hint
    } >&2
    exit 2
}

# fingerprint PATH...: one line that changes when any file below the paths does.
fingerprint() {
    (cd "$root" && find "$@" -type f ! -name '*.pyc' ! -name '*.so' -exec cksum {} + | LC_ALL=C sort | cksum)
}

make_venv() {
    if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
}

# build_kernels: set `kernels` to the statistics kernels compiled ahead of time, so that no run waits for numba; see docs/build.md.
build_kernels() {
    local compilers
    kernels=$root/build/kernels.o
    mkdir -p "$root/build"
    mapfile -t compilers < <("$venv/bin/python" -P -c '
import sys, tomllib
for wanted in tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"]:
    if wanted.startswith(("numba", "numpy")):
        print(wanted)' "$root/pyproject.toml")
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${compilers[@]}"
    PYTHON=$venv/bin/python bash "$root/scripts/build-kernels" "$kernels"
}

# install STAMP WHAT PIP_ARGUMENT...: install into .venv unless the stamp says that this very state was installed.
install() {
    local stamp="$venv/fastload-$1" state=$2
    shift 2
    make_venv
    if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$state" ]; then
        return
    fi
    printf 'installing fastload into %s ...\n' "$venv" >&2
    rm -f "$venv"/fastload-*
    rm -rf "$root/build/temp."* "$root/build/lib."* # setuptools does not rebuild an object when only a header changed
    build_kernels
    (cd "$root" && FASTLOAD_KERNELS=$kernels "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@")
    printf '%s\n' "$state" >"$stamp"
}

# install_to_use: a plain install; an editable one that is fresh serves as well.
install_to_use() {
    local editable
    editable=$(editable_state)
    if [ -e "$venv/fastload-test" ] && [ "$(cat "$venv/fastload-test")" = "$editable" ]; then
        return
    fi
    install run "$(fingerprint pyproject.toml setup.py README.md fastload native)" "$root"
}

install_to_test() {
    install test "$(editable_state)" --editable "${root}[test]"
}

editable_state() {
    fingerprint pyproject.toml setup.py native fastload/stats/kernels.py fastload/stats/kernels_source.py fastload/samples/layout.py
}
