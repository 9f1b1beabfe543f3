#!/usr/bin/env bash
# The NVIDIA GPUs of this host, a replica on each. From the repository's root:
#
#   launch/local/gpus.sh CONFIG [section.key=value ...] [--stage plan]
#
# GPUS_PER_REPLICA=2 spreads each replica of a large model over two GPUs, 0.5 puts two replicas of a small one on each.
# CUDA_VISIBLE_DEVICES=0,1 chooses among the GPUs; PYTHON is the venv's python (.venv/bin/python).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
PYTHON=${PYTHON:-.venv/bin/python} SHARE=${GPUS_PER_REPLICA:-1}
config=$1; shift
gpus=$("$PYTHON" -c 'import torch; print(torch.cuda.device_count())')
if [ "$gpus" = 0 ]; then
  echo "$0: PyTorch sees no GPU here (nvidia-smi, CUDA_VISIBLE_DEVICES); launch/local/cpu.sh runs without." >&2
  exit 2
fi
mode=local
[ "$gpus" != "$SHARE" ] || mode=inline     # a single replica needs no Ray
# What stands in "$@" comes later and therefore wins.
exec "$PYTHON" -m engine.run "$config" model.device=cuda cluster.mode=$mode cluster.gpus_per_replica="$SHARE" \
  cluster.accelerator_type=null "$@"
