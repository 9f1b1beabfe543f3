# What the scripts of this folder share: read by `source`, on every node of a job.

log() { echo "[headledger $(date +%T) +${SECONDS}s, start ${SLURM_RESTART_COUNT:-0}] $*"; }
fail() { log "$*" >&2; exit "${2:-1}"; }

# Site, modules, venv. HEADLEDGER_* come from submit.sh through sbatch's environment.
enter_site() {
  # shellcheck disable=SC1090
  source "${HEADLEDGER_SITE:?start jobs with launch/slurm/submit.sh}"
  if declare -F site_setup >/dev/null; then site_setup; fi
  [ -x "${VENV:?the site file names no VENV}/bin/python" ] || fail "VENV: $VENV/bin/python does not exist on $(hostname)."
  export PATH="$VENV/bin:$PATH" PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
}

# The config of this member of a job array (the only one without an array), and the overrides of all.
read_task() {
  mapfile -t CONFIGS <<<"$HEADLEDGER_CONFIGS"
  CONFIG=${CONFIGS[${SLURM_ARRAY_TASK_ID:-0}]}
  mapfile -t OVERRIDES < <(printf '%s' "${HEADLEDGER_OVERRIDES:-}" | grep -v '^$' || true)
}

# The address that SLURM itself dials for a host, or that of the card RAY_IFACE: a host name may resolve to 127.0.1.1.
address_of() {
  local name
  if [ -n "${RAY_IFACE:-}" ]; then
    ip -4 -o addr show dev "$RAY_IFACE" 2>/dev/null | awk '{sub("/.*", "", $4); print $4; exit}'
    return
  fi
  name=$(scontrol show node "$1" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
  getent ahostsv4 "${name:-$1}" | awk '$1 !~ /^127\./ {print $1; exit}'
}

# Two jobs must never share a Ray, and nobody else may reach one: a token in a file that only this user can read (Ray uses
# one on the head alone unless told to), and the name of a folder that nobody can be in before us. Sets and exports
# RAY_TMP, short since sockets have 107 bytes, and where the token is.
make_private() {
  sweep_private
  RAY_TMP=$(mktemp -d "/tmp/hl$SLURM_JOB_ID-XXXXXXXX") || fail "no folder could be made in /tmp on $(hostname)."
  RAY_AUTH_TOKEN_PATH=$(mktemp "$PWD/logs/.ray-token-$SLURM_JOB_ID-XXXXXXXX") || fail "logs: cannot be written."
  od -An -tx1 -N32 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH"
  unset RAY_AUTH_TOKEN
  export RAY_TMP RAY_AUTH_TOKEN_PATH RAY_AUTH_MODE=token
}

remove_private() { rm -rf "${RAY_TMP:-}" "${RAY_AUTH_TOKEN_PATH:-}"; }

# What this user's jobs left here that SLURM knows no more, or this very job at an earlier start.
sweep_private() {
  local path job jobs
  jobs=$(squeue --noheader --user="$(id -un)" --format=%A 2>/dev/null) || return 0
  for path in /tmp/hl[0-9]*-???????? "$PWD"/logs/.ray-token-[0-9]*-????????; do
    [ -O "$path" ] && [ ! -L "$path" ] && [ "$path" != "${RAY_TMP:-}" ] && [ "$path" != "${RAY_AUTH_TOKEN_PATH:-}" ] || continue
    job=${path%-*} job=${job##*[!0-9]}
    [ "$job" != "$SLURM_JOB_ID" ] && grep -qx "$job" <<<"$jobs" || rm -rf "$path"
  done
}

# Run Ray on this node with RAY_TMP as a folder that nobody else can enter, and end with its exit code.
in_private() {
  local ray code=0
  sweep_private
  if [ ! -O "$RAY_TMP" ] || [ -L "$RAY_TMP" ]; then
    mkdir -m 700 "$RAY_TMP" || fail "$RAY_TMP on $(hostname) is there already and not ours."
  fi
  "$@" &
  ray=$!
  # shellcheck disable=SC2064
  trap "kill -TERM $ray 2>/dev/null" TERM INT
  while :; do wait "$ray" && code=0 || code=$?; kill -0 "$ray" 2>/dev/null || break; done
  rm -rf "$RAY_TMP"      # a node's disk is the next job's too
  return "$code"
}

# Run the driver, let it finish its shards when SLURM says that time runs out, and put the job back in the queue.
drive() {
  python -m engine.run "$CONFIG" ${OVERRIDES[@]+"${OVERRIDES[@]}"} "$@" &
  DRIVER=$!
  # A trapped signal ends `wait` before its process does.
  while :; do wait "$DRIVER"; CODE=$?; kill -0 "$DRIVER" 2>/dev/null || break; done
  DRIVER=
  log "engine.run ended with $CODE"
}

on_time_limit() {
  log "USR1: the time limit is near; finishing the running shards"
  REQUEUE=1
  [ -z "${DRIVER:-}" ] || kill -USR1 "$DRIVER"
}

requeue_if_stopped() {
  if [ -n "${REQUEUE:-}" ] && [ "$CODE" = 75 ]; then
    log "back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60      # SLURM ends this script when it has requeued the job
  fi
}
