"""Which stages of a run, and how: what the command line says beside the config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Stage = Literal["all", "plan", "collect", "analyze", "verify"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Which stages of a run, and how.

    Attributes
    ----------
    stage
        ``all`` plans, collects and analyses; ``plan`` is a dry run that loads no weights.
    debug
        Whether this run measures a few samples only, to be looked at: it never mixes with a real one.
    fresh
        Whether an existing run directory is set aside.
    """

    stage: Stage = "all"
    debug: bool = False
    fresh: bool = False

    @property
    def measures(self) -> bool:
        """Whether anything is planned or measured."""
        return self.stage in ("all", "plan", "collect")
