# Northwestern Quest: A100 nodes of the gengpu partition. Copy this file, change what differs at your site.
# Everything that a script of this folder needs to know about a cluster stands here.

ACCOUNT=p12345                 # your allocation
PARTITION=gengpu
GRES=gpu:a100:1                # per node; cluster.gpus_per_replica of the config divides them among replicas
NODES=4
CPUS=8                         # per node
MEM=64G                        # per node
TIME=12:00:00
SBATCH_OPTIONS=()              # anything else that sbatch should get, such as (--constraint=sxm --qos=normal)

VENV=$HOME/headledger/.venv    # on a file system that every node sees
export HF_HOME=/projects/$ACCOUNT/huggingface   # the model must be in this cache already: nodes have no internet
export HF_HUB_OFFLINE=1
MIN_FREE_GB=20                 # what must be free in the output folder
RAY_IFACE=                     # network card of the nodes' addresses; empty: the one that SLURM itself uses

site_setup() {                 # runs on every node before anything else
  module purge
  module load python/3.11.9 cuda/12.4.1
}
