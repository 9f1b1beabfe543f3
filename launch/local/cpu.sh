#!/usr/bin/env bash
# The cores of this host, a replica on every few. From the repository's root:
#
#   launch/local/cpu.sh CONFIG [section.key=value ...] [--stage plan]
#
# THREADS are the cores of a replica (4, or all there are), REPLICAS how many there are (as many as fit). Each replica
# holds the model in float32; with model.dtype as in the file they share it. PYTHON is the venv's python.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
PYTHON=${PYTHON:-.venv/bin/python}
config=$1; shift
cores=$(getconf _NPROCESSORS_ONLN)
threads=${THREADS:-$((cores < 4 ? cores : 4))}
replicas=${REPLICAS:-$((cores / threads > 1 ? cores / threads : 1))}
mode=local
[ "$replicas" != 1 ] || mode=inline        # a single replica needs no Ray
export OMP_NUM_THREADS=$threads
# What stands in "$@" comes later and therefore wins.
exec "$PYTHON" -m engine.run "$config" model.device=cpu model.dtype=float32 cluster.mode=$mode \
  cluster.replicas="$replicas" cluster.cpus_per_replica="$threads" cluster.gpus_per_replica=0 "$@"
