#!/usr/bin/env bash
# Make the fixtures again from the project's own history:  make.sh REPOSITORY OUT [COMMIT...]   (default: both versions)
#
# OUT/<commit>/ is what is committed, OUT/full/<commit>/ all that was collected (2 MB each), OUT/schemas/ and OUT/help.txt
# of the later version. About ten minutes a version on an idle computer, more on a busy one.
#
# Each version is cloned to /home/user/spotwave with HOME=/home/user, in namespaces of its own (mounts, processes, host
# name), because the program writes absolute paths, process ids and the host's name into what it keeps: nothing has to
# be edited afterwards, no path of this computer gets into the fixtures, and nothing that was started survives. Needs root (or
# `unshare --map-root-user`), git, make, Python 3.11 to 3.13 outside /home, and a package index for `make env`.
#
# SCRATCH: a folder whose clone and environment are used again; KEEP=1: keep the new one; SCHEMAS_ONLY=1: start nothing.
set -euo pipefail
repository=$(realpath "$1") out=$(realpath -m "$2") here=$(realpath "$(dirname "$0")")
shift 2
last=ccd189d
[ $# -gt 0 ] || set -- c70ec19 "$last"
for commit in "$@"; do
    scratch=${SCRATCH:-$(mktemp -d)}
    mkdir -p "$out/full/$commit"
    # shellcheck disable=SC2016 # expanded inside
    HERE=$here SCRATCH=$scratch REPOSITORY=$repository OUT=$out COMMIT=$commit LAST=$last \
        unshare --mount --uts --pid --fork --mount-proc --kill-child bash -euo pipefail -c '
        hostname laptop
        mkdir -p /home
        mount -t tmpfs -o mode=755 none /home
        mkdir -p /home/user
        mount --bind "$SCRATCH" /home/user
        unset PYTHONDONTWRITEBYTECODE SPOTWAVE_HOME
        export HOME=/home/user UV_CACHE_DIR=${UV_CACHE_DIR:-$OUT/full/uv-cache} GIT_CONFIG_COUNT=1
        export GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="*"
        cd "$HOME"
        [ -d spotwave ] || git clone --quiet --no-hardlinks "$REPOSITORY" spotwave
        cd spotwave
        git checkout --quiet "$COMMIT"
        rm -rf .spotwave results ../.prefect prefect.toml
        make env
        if [ "$COMMIT" = "$LAST" ]; then .venv/bin/python "$HERE/make.py" schemas "$HOME/spotwave" "$OUT"; fi
        [ -n "${SCHEMAS_ONLY:-}" ] || .venv/bin/python "$HERE/make.py" state "$HOME/spotwave" "$OUT/full/$COMMIT"
    '
    if [ -z "${SCHEMAS_ONLY:-}" ]; then
        python3 "$here/make.py" trim "$out/full/$commit" "$out/$commit"
        sed "s/@COMMIT@/$commit/g" "$here/readme.in" > "$out/$commit/README.md"
    fi
    [ -n "${KEEP:-}${SCRATCH:-}" ] || rm -rf "$scratch"
done
