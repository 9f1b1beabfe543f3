#!/usr/bin/env bash
# The GPU of an Apple silicon Mac: one replica, no Ray. From the repository's root:
#
#   launch/local/mps.sh CONFIG [section.key=value ...] [--stage plan]
#
# model.dtype=float16 halves the memory of a large model. PYTHON is the venv's python (.venv/bin/python).
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
PYTHON=${PYTHON:-.venv/bin/python}
config=$1; shift
export PYTORCH_ENABLE_MPS_FALLBACK=1       # an operation that Metal lacks runs on the CPU
# What stands in "$@" comes later and therefore wins.
exec "$PYTHON" -m engine.run "$config" model.device=mps model.dtype=float32 model.attention=blocked \
  cluster.mode=inline cluster.gpus_per_replica=0 "$@"
