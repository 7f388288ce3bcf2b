#!/usr/bin/env bash
# The first thing a machine runs: its user data. Safe to run again: every step is done once.
# Holds no secret; those lie in $SPOTWAVE_SECRETS, put there by the cloud's own means.
set -euo pipefail

@SETTINGS@

: "${SPOTWAVE_WORK:?}" "${SPOTWAVE_SECRETS:?}" "${SPOTWAVE_REMOTE:?}" "${SPOTWAVE_ATTEMPT:?}"
: "${SPOTWAVE_PYTHON:?the image must name its Python}" "${SPOTWAVE_RCLONE:?the image must name its rclone}"

umask 077
mkdir -p "$SPOTWAVE_WORK"
cd "$SPOTWAVE_WORK"
exec > >(tee -a bootstrap.log) 2>&1

rclone() {
    "$SPOTWAVE_RCLONE" --config "$SPOTWAVE_SECRETS/rclone.conf" --retries 3 --contimeout 30s --timeout 120s "$@"
}

# A machine that cannot start says why where its owner will look, then ends: the script is its last process,
# and SPOTWAVE_POWEROFF (set by the clouds that bill) ends what is left of it.
fail() {
    local line=$1
    trap - ERR
    echo "bootstrap failed at line $line"
    tail -n 20 bootstrap.log >bootstrap.tail || true
    rclone copyto bootstrap.tail "$SPOTWAVE_REMOTE/attempts/$SPOTWAVE_ATTEMPT/bootstrap.log" || true
    ${SPOTWAVE_POWEROFF:-true}
    exit 1
}
trap 'fail $LINENO' ERR

if [[ ! -f brief.json ]]; then
    cat >brief.json.part <<'BRIEF'
@BRIEF@
BRIEF
    mv brief.json.part brief.json
fi

# The controller's own code, so that the machine runs exactly that checkout.
if [[ ! -d app ]]; then
    rclone copy "$SPOTWAVE_REMOTE/code" code
    rm -rf app.part
    for wheel in code/spotwave-*.whl; do
        "$SPOTWAVE_PYTHON" -m zipfile -e "$wheel" app.part
    done
    mv app.part app
fi

export PYTHONPATH="$SPOTWAVE_WORK/app"
"$SPOTWAVE_PYTHON" -m node.agent && ended=0 || ended=$?
${SPOTWAVE_POWEROFF:-true}
exit "$ended"
