"""Where units run, by ``cluster.mode``: a new kind of cluster is a file beside this one and a row here."""

from __future__ import annotations

from collections.abc import Callable

from engine.config import Config
from engine.executors.inline import InlineExecutor
from engine.executors.job import Executor
from engine.executors.over_ray.ray_executor import RayExecutor

EXECUTORS: dict[str, Callable[[Config], Executor]] = {
    "inline": InlineExecutor,
    "local": RayExecutor,
    "auto": RayExecutor,
}
"""``cluster.mode`` to what makes its executor; no row loads Ray before units run."""


def executor_of(config: Config) -> Executor:
    """Return the executor that a config asks for."""
    return EXECUTORS[config.cluster.mode](config)
