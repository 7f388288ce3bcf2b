#!/usr/bin/env bash
# Bootstrap script of a machine, passed as its user data. Safe to run again: completed steps are skipped.
# Holds no secrets; the cloud's secret manager provides those, and they are stored in $SPOTWAVE_SECRETS.
#   (no argument): at boot    run: run the attempt    guard <s>: end the machine after <s> seconds
#   end: end the machine for good
set -Eeuo pipefail

@SETTINGS@

: "${SPOTWAVE_REMOTE:?}" "${SPOTWAVE_ATTEMPT:?}" "${SPOTWAVE_DEADLINE:?}"
cloud=${SPOTWAVE_CLOUD:-} # empty: the local cloud, where everything is installed and the machine ends with this script
if [[ $cloud ]]; then
    # Boot scripts may run with a nearly empty environment.
    export SPOTWAVE_OPT=${SPOTWAVE_OPT:-/opt/spotwave}
    export PATH="${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$SPOTWAVE_OPT/bin"
    export SPOTWAVE_WORK=${SPOTWAVE_WORK:-/var/lib/spotwave/work}
    export SPOTWAVE_SECRETS=${SPOTWAVE_SECRETS:-/run/spotwave/secrets} # tmpfs
    export SPOTWAVE_PYTHON=${SPOTWAVE_PYTHON:-$SPOTWAVE_OPT/bin/python}
    export SPOTWAVE_RCLONE=${SPOTWAVE_RCLONE:-$SPOTWAVE_OPT/bin/rclone}
    export HOME=${HOME:-$SPOTWAVE_WORK/home}
fi
: "${SPOTWAVE_WORK:?}" "${SPOTWAVE_SECRETS:?}"
: "${SPOTWAVE_PYTHON:?set it to the path of Python in the image}" "${SPOTWAVE_RCLONE:?set it to the path of rclone}"

limited() { # seconds, command
    if [[ $cloud ]]; then timeout -k 10 "$@"; else shift && "$@"; fi
}

end_machine() {
    trap - ERR
    [[ $cloud ]] || { printf . >&"${SPOTWAVE_LAST_ACT:-2}" || true; return 0; } # marks the time of the end
    limited 1200 python3 "$SPOTWAVE_WORK/cloud.py" end || true
    poweroff || poweroff -f || true # last resort
}
trap 'end_machine; exit 1' ERR

umask 077
mkdir -p "$SPOTWAVE_WORK" "${HOME:-/}"
if [[ $cloud && ${1:-} == "" ]]; then
    cat "$0" >"$SPOTWAVE_WORK/bootstrap.sh.part"
    mv "$SPOTWAVE_WORK/bootstrap.sh.part" "$SPOTWAVE_WORK/bootstrap.sh"
fi
cd "$SPOTWAVE_WORK"

# Run as a systemd service: at a shutdown, a service gets SIGTERM, which this script forwards to the agent, while
# processes started by cloud-init get no signal. OOMPolicy=continue: a child killed for memory must not end the service.
as_a_service() {
    local given=("SPOTWAVE_OPT=$SPOTWAVE_OPT" "SPOTWAVE_WORK=$SPOTWAVE_WORK" "SPOTWAVE_SECRETS=$SPOTWAVE_SECRETS")
    # Start the guard first: it ends the machine SPOTWAVE_GRACE seconds after its deadline, whatever hangs or crashes.
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

# Show the last lines of the log where the user will look: on the remote and in the lease.
report() {
    trap - ERR
    set +e # if a command fails here, the machine must still be ended
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

# Report why the machine cannot start, then end it.
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

# A baked image has rclone and Python with all packages. The file `installing` marks an unfinished installation.
step='installing Python and rclone'
bare=
if [[ $cloud && (-f $SPOTWAVE_OPT/installing || ! -x $SPOTWAVE_PYTHON || ! -x $SPOTWAVE_RCLONE) ]]; then
    bare=yes
    export UV_CACHE_DIR=$SPOTWAVE_OPT/cache UV_PYTHON_INSTALL_DIR=$SPOTWAVE_OPT/python UV_NO_CONFIG=1
    mkdir -p "$SPOTWAVE_OPT"
    touch "$SPOTWAVE_OPT/installing"
    free=$(df -Pm "$SPOTWAVE_OPT" | awk 'NR == 2 { print $4 }')
    ((free >= 2048)) || fail "disk: $free MiB free, but the installation needs 2048; raise disk_gib"
    [[ -x $SPOTWAVE_OPT/uv ]] || limited 300 python3 cloud.py uv "$SPOTWAVE_OPT"
    # Use the system's Python if its version fits, else Amazon Linux's additional one, else one that uv downloads.
    environment() {
        limited 600 "$SPOTWAVE_OPT/uv" venv --quiet --allow-existing --python '>=3.11,<3.14' "$@" "$SPOTWAVE_OPT"
    }
    [[ -x $SPOTWAVE_PYTHON ]] || environment --no-python-downloads ||
        { limited 600 dnf install -q -y python3.11 && environment --no-python-downloads; } || environment
    limited 600 "$SPOTWAVE_OPT/uv" pip install --quiet --python "$SPOTWAVE_PYTHON" --require-hashes -r pins.txt
fi

# Install the tools to build a program from source (Brief.builds).
if [[ $cloud ]] && grep -q '"builds": true' brief.json && ! { command -v git && command -v cmake && command -v g++; }; then
    if command -v apt-get; then
        export DEBIAN_FRONTEND=noninteractive
        limited 300 apt-get -qq -o DPkg::Lock::Timeout=240 update
        limited 900 apt-get -qq -o DPkg::Lock::Timeout=240 install git build-essential gfortran cmake
    else
        limited 900 dnf -qy install git gcc-c++ gcc-gfortran make cmake
    fi
fi >/dev/null

# Fetch the controller's own code, so that the machine runs exactly the same version.
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
while kill -0 "$agent" 2>/dev/null; do # a signal interrupts `wait`, not the agent
    ended=0
    wait "$agent" || ended=$?
done
((ended == 0)) || report "the agent ended with exit code $ended"
end_machine
exit "$ended"
