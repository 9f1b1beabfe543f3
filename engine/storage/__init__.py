"""The run directory: plan, ledger, commits, verification, identity."""
