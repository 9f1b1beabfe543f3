"""Where workers run over Ray: the cluster, the process that talks to it, and what is mapped over its actors."""
