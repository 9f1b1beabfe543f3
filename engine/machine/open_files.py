"""How many files a process may have open: raised where it may be, and refused in a sentence where it is too few."""

from __future__ import annotations

from engine.errors import ConfigError


def require_open_files(needed: int, where: str) -> None:
    """Let this process, and those that it starts, have as many files open as they need.

    Parameters
    ----------
    needed
        How many.
    where
        The config path of what needs them.

    Raises
    ------
    ConfigError
        When the system allows fewer, and this process may not change that.
    """
    try:
        import resource
    except ImportError:  # not on this system
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(
            f"{where}: Ray's processes talk over many open files, and this process may have {hard:,} files open. Raise "
            f"the limit (ulimit -n {needed}, or the batch system's), or measure without Ray (cluster.mode=inline)."
        )
    # Ray asks for all that it may have.
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
