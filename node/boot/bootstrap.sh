#!/usr/bin/env bash
# The first thing a machine runs: its user data. Safe to run again: every step is done once.
# Holds no secret; those lie in $SPOTWAVE_SECRETS, put there by the cloud's own means.
#   (no argument) at boot    run: the attempt    guard <s>: end after that many seconds    end: the machine, for good
set -Eeuo pipefail

@SETTINGS@

: "${SPOTWAVE_REMOTE:?}" "${SPOTWAVE_ATTEMPT:?}" "${SPOTWAVE_DEADLINE:?}"
cloud=${SPOTWAVE_CLOUD:-} # empty: the local cloud, whose machines find all that they need and end with this script
if [[ $cloud ]]; then
    # Boot scripts may be run with next to no environment.
    export SPOTWAVE_OPT=${SPOTWAVE_OPT:-/opt/spotwave}
    export PATH="${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$SPOTWAVE_OPT/bin"
    export SPOTWAVE_WORK=${SPOTWAVE_WORK:-/var/lib/spotwave/work}
    export SPOTWAVE_SECRETS=${SPOTWAVE_SECRETS:-/run/spotwave/secrets} # in memory
    export SPOTWAVE_PYTHON=${SPOTWAVE_PYTHON:-$SPOTWAVE_OPT/bin/python}
    export SPOTWAVE_RCLONE=${SPOTWAVE_RCLONE:-$SPOTWAVE_OPT/bin/rclone}
    export HOME=${HOME:-$SPOTWAVE_WORK/home}
fi
: "${SPOTWAVE_WORK:?}" "${SPOTWAVE_SECRETS:?}"
: "${SPOTWAVE_PYTHON:?the image must name its Python}" "${SPOTWAVE_RCLONE:?the image must name its rclone}"

limited() { # seconds, command
    if [[ $cloud ]]; then timeout -k 10 "$@"; else shift && "$@"; fi
}

end_machine() {
    trap - ERR
    [[ $cloud ]] || { printf . >&"${SPOTWAVE_LAST_ACT:-2}" || true; return 0; } # its end is dated
    limited 1200 python3 "$SPOTWAVE_WORK/cloud.py" end || true
    poweroff || poweroff -f || true # the last resort
}
trap 'end_machine; exit 1' ERR

umask 077
mkdir -p "$SPOTWAVE_WORK" "${HOME:-/}"
if [[ $cloud && ${1:-} == "" ]]; then
    cat "$0" >"$SPOTWAVE_WORK/bootstrap.sh.part"
    mv "$SPOTWAVE_WORK/bootstrap.sh.part" "$SPOTWAVE_WORK/bootstrap.sh"
fi
cd "$SPOTWAVE_WORK"

# As a service of its own: a shutdown sends SIGTERM to this script, which passes it to the agent, and leaves the rest
# to the agent, while what cloud-init runs is told nothing. A child that is out of memory must not end the service.
as_a_service() {
    local given=("SPOTWAVE_OPT=$SPOTWAVE_OPT" "SPOTWAVE_WORK=$SPOTWAVE_WORK" "SPOTWAVE_SECRETS=$SPOTWAVE_SECRETS")
    # The guard first: whatever hangs or dies from here on, the machine ends SPOTWAVE_GRACE seconds after its deadline.
    local left=$((SPOTWAVE_DEADLINE - $(date +%s) + ${SPOTWAVE_GRACE:-300}))
    ((left > 0)) || left=1
    local script=(env "${given[@]}" bash "$SPOTWAVE_WORK/bootstrap.sh")
    if [[ -d /run/systemd/system ]]; then
        systemd-run --unit=spotwave-guard --on-active="$left" -- "${script[@]}" end &&
            systemd-run --unit=spotwave --property=KillMode=mixed --property=TimeoutStopSec=150 \
                --property=OOMPolicy=continue --property=After=network-online.target -- "${script[@]}" run
    else
        setsid "${script[@]}" guard "$left" </dev/null >/dev/null 2>&1 &
        exec "${script[@]}" run
    fi
}

case ${1:-} in
guard | end)
    [[ $1 == end ]] || sleep "$2"
    end_machine
    exit
    ;;
run) ;;
*)
    if [[ $cloud ]]; then
        cat >cloud.py <<'CLOUD'
@CLOUD@
CLOUD
        cat >pins.txt <<'PINS'
@PINS@
PINS
        as_a_service || end_machine
        exit
    fi
    ;;
esac

exec 3>&1 >>bootstrap.log 2>&1

rclone() {
    limited 900 "$SPOTWAVE_RCLONE" --config "$SPOTWAVE_SECRETS/rclone.conf" --retries 3 --contimeout 30s --timeout 120s "$@"
}

# The last lines, where the machine's owner will look: on the remote and in the lease.
report() {
    trap - ERR
    set +e # whatever fails here, the end of the machine must follow
    echo "$1"
    tail -n 20 bootstrap.log >bootstrap.tail
    if [[ $cloud ]]; then
        limited 60 python3 cloud.py tell <bootstrap.tail >bootstrap.told || echo "$1" >bootstrap.told
        mv bootstrap.told bootstrap.tail
    fi
    cat bootstrap.tail >&3
    local node
    node=$(sed -n 's/^ "node": \([1-9][0-9]*\).*/nodes\/\1\//p' brief.json)
    rclone copyto bootstrap.tail "$SPOTWAVE_REMOTE/attempts/$SPOTWAVE_ATTEMPT/${node}bootstrap.log"
}

# A machine that cannot start says why, then ends.
fail() {
    report "bootstrap failed while $step${1:+: $1}"
    end_machine
    exit 1
}
step='writing the brief'
trap fail ERR

if [[ ! -f brief.json ]]; then
    cat >brief.json.part <<'BRIEF'
@BRIEF@
BRIEF
    [[ ! $cloud ]] || limited 300 python3 cloud.py node brief.json.part
    mv brief.json.part brief.json
fi

step="reading the job's secret"
[[ ! $cloud ]] || limited 900 python3 cloud.py secrets "$SPOTWAVE_SECRETS"

# A baked image has Python with all packages, and rclone. `installing` tells it from an image that we are at.
step='installing Python and rclone'
bare=
if [[ $cloud && (-f $SPOTWAVE_OPT/installing || ! -x $SPOTWAVE_PYTHON || ! -x $SPOTWAVE_RCLONE) ]]; then
    bare=yes
    export UV_CACHE_DIR=$SPOTWAVE_OPT/cache UV_PYTHON_INSTALL_DIR=$SPOTWAVE_OPT/python UV_NO_CONFIG=1
    mkdir -p "$SPOTWAVE_OPT"
    touch "$SPOTWAVE_OPT/installing"
    free=$(df -Pm "$SPOTWAVE_OPT" | awk 'NR == 2 { print $4 }')
    ((free >= 2048)) || fail "disk: $free MiB are free, the installation needs 2048; raise disk_gib"
    [[ -x $SPOTWAVE_OPT/uv ]] || limited 300 python3 cloud.py uv "$SPOTWAVE_OPT"
    # The system's Python if it will do, else Amazon Linux's other one, else one of uv's own.
    environment() {
        limited 600 "$SPOTWAVE_OPT/uv" venv --quiet --allow-existing --python '>=3.11,<3.14' "$@" "$SPOTWAVE_OPT"
    }
    [[ -x $SPOTWAVE_PYTHON ]] || environment --no-python-downloads ||
        { limited 600 dnf install -q -y python3.11 && environment --no-python-downloads; } || environment
    limited 600 "$SPOTWAVE_OPT/uv" pip install --quiet --python "$SPOTWAVE_PYTHON" --require-hashes -r pins.txt
fi

# What it takes to build a program from its source (Brief.builds).
if [[ $cloud ]] && grep -q '"builds": true' brief.json && ! { command -v git && command -v cmake && command -v g++; }; then
    if command -v apt-get; then
        export DEBIAN_FRONTEND=noninteractive
        limited 300 apt-get -qq -o DPkg::Lock::Timeout=240 update
        limited 900 apt-get -qq -o DPkg::Lock::Timeout=240 install git build-essential gfortran cmake
    else
        limited 900 dnf -qy install git gcc-c++ gcc-gfortran make cmake
    fi
fi >/dev/null

# The controller's own code, so that the machine runs exactly that checkout.
step='fetching the code from the remote'
if [[ ! -d app ]]; then
    rclone copy "$SPOTWAVE_REMOTE/code" code
    rm -rf app.part
    for wheel in code/spotwave-*.whl; do
        "$SPOTWAVE_PYTHON" -m zipfile -e "$wheel" app.part
    done
    mv app.part app
fi

step='installing the packages'
if [[ $bare ]]; then
    limited 1800 "$SPOTWAVE_OPT/uv" pip install --quiet --python "$SPOTWAVE_PYTHON" --require-hashes \
        -r app/spotwave/node/requirements.lock
    rm -rf "$UV_CACHE_DIR" "$SPOTWAVE_OPT/installing"
fi

export PYTHONPATH="$SPOTWAVE_WORK/app"
trap - ERR
"$SPOTWAVE_PYTHON" -m spotwave.node.agent &
agent=$!
trap 'kill -TERM "$agent" || true' TERM
ended=0
wait "$agent" || ended=$?
while kill -0 "$agent" 2>/dev/null; do # a signal ends the waiting, not the agent
    ended=0
    wait "$agent" || ended=$?
done
((ended == 0)) || report "the agent ended with $ended"
end_machine
exit "$ended"
