#!/usr/bin/env bash
# Submit Headledger to SLURM. From the repository's root, on a login node:
#
#   launch/slurm/submit.sh SITE CONFIG... [section.key=value ...] [-- SBATCH_OPTION ...]
#
# SITE is a file of launch/slurm/sites or a path. Several configs become a job array, one run each.
# SCRIPT=launch/slurm/one-gpu.sbatch (or symmetric.sbatch) chooses another way to start.
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 2 ] || usage
site=$1; shift
[ -f "$site" ] || site=$here/sites/$site.sh
[ -f "$site" ] || { echo "$site: no such site file; copy launch/slurm/sites/quest.sh and change it." >&2; exit 2; }
site=$(cd "$(dirname "$site")" && pwd)/$(basename "$site")

configs=() overrides=()
while [ $# -gt 0 ]; do
  case $1 in
    --) shift; break ;;
    -*) echo "$1: options for sbatch come after --." >&2; exit 2 ;;
    *.yaml|*.yml) [ -f "$1" ] || { echo "$1: no such config." >&2; exit 2; }; configs+=("$1") ;;
    *=*) overrides+=("$1") ;;
    *) echo "$1: neither a config (*.yaml) nor section.key=value." >&2; exit 2 ;;
  esac
  shift
done
[ ${#configs[@]} -gt 0 ] || usage

SBATCH_OPTIONS=()
# shellcheck disable=SC1090
source "$site"
options=(--nodes="$NODES" --cpus-per-task="$CPUS" --mem="$MEM" --time="$TIME")
[ -z "${ACCOUNT:-}" ] || options+=(--account="$ACCOUNT")
[ -z "${PARTITION:-}" ] || options+=(--partition="$PARTITION")
[ -z "${GRES:-}" ] || options+=(--gres="$GRES")
[ ${#configs[@]} -eq 1 ] || options+=(--array="0-$((${#configs[@]} - 1))")
mkdir -p logs
# Paths cross to the job in the environment, one a line; words of sbatch would lose blanks in them.
export HEADLEDGER_SITE=$site HEADLEDGER_LAUNCH=$here
HEADLEDGER_CONFIGS=$(printf '%s\n' "${configs[@]}")
HEADLEDGER_OVERRIDES=$(printf '%s\n' ${overrides[@]+"${overrides[@]}"})
export HEADLEDGER_CONFIGS HEADLEDGER_OVERRIDES
exec sbatch --output="logs/%x-%j.out" "${options[@]}" ${SBATCH_OPTIONS[@]+"${SBATCH_OPTIONS[@]}"} "$@" \
  "${SCRIPT:-$here/headledger.sbatch}"
