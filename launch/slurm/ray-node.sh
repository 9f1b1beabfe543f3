#!/usr/bin/env bash
# One per SLURM node, all under one srun: the first becomes Ray's head, the others join it.
set -euo pipefail
# shellcheck disable=SC1091
source "${HEADLEDGER_LAUNCH:?start jobs with launch/slurm/submit.sh}/job.sh"
memory_mb=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-1000} * ${SLURM_CPUS_ON_NODE:-1}))}
num_gpus=0
[ -z "${CUDA_VISIBLE_DEVICES:-}" ] || num_gpus=$(awk -F, '{print NF}' <<<"$CUDA_VISIBLE_DEVICES")
# The card from which the head can be reached, on hosts that have several.
own_ip=$(ip -4 route get "$HEAD_IP" | sed -n 's/.* src \([0-9.]*\).*/\1/p')
options=(
  --node-ip-address="$own_ip" --num-cpus="${SLURM_CPUS_ON_NODE:-1}" --num-gpus="$num_gpus"
  # Ray would take the host's memory for the job's.
  --object-store-memory=$((memory_mb * 1024 * 1024 / 10)) --memory=$((memory_mb * 1024 * 1024 * 8 / 10))
  --node-manager-port=$((BASE + 1)) --object-manager-port=$((BASE + 2)) --metrics-export-port=$((BASE + 3))
  --runtime-env-agent-port=$((BASE + 4)) --dashboard-agent-listen-port=$((BASE + 5))
  --dashboard-agent-grpc-port=$((BASE + 6)) --min-worker-port=0 --max-worker-port=0 --disable-usage-stats --block
)
if [ "$SLURM_NODEID" = 0 ]; then
  # No dashboard: whoever works with this Ray does so on its nodes.
  options+=(--head --port="$BASE" --temp-dir="$RAY_TMP" --include-dashboard=false)
else
  options+=(--address="$HEAD_IP:$BASE")     # the same folder: where it lies is the head's to say
fi
in_private ray start "${options[@]}"
