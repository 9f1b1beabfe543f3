"""What ``--stage`` names: plan, generate, collect, analyze, verify; ``run_stages`` brings a run as far as asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.stages.options import STAGES, RunOptions

if TYPE_CHECKING:
    from engine.stages.stages import run_stages

__all__ = ["STAGES", "RunOptions", "run_stages"]


def __getattr__(name: str) -> object:
    """Load the stages once they are asked for: options alone are needed to say ``--help``."""
    if name != "run_stages":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from engine.stages.stages import run_stages

    return run_stages
