"""Errors that a user can cause: printed as one paragraph without a traceback, each with its exit code."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_CONFIG = 2
EXIT_INPUT = 3
EXIT_STOPPED = 75


class UserError(ValueError):
    """A mistake the user can mend: value, allowed set, config path and what to do, in one paragraph."""

    exit_code = EXIT_FAILED


class ConfigError(UserError):
    """A config value or a command-line argument that cannot be used."""

    exit_code = EXIT_CONFIG


class InputError(UserError):
    """A predictions file that cannot be used."""

    exit_code = EXIT_INPUT


class RunFailedError(UserError):
    """A run that cannot go on or cannot be verified; nothing was published."""

    exit_code = EXIT_FAILED


class RunStopped(UserError):  # noqa: N818 - not an error: the run goes on when started again
    """A run that stopped at a shard boundary because it was asked to; the same command continues it."""

    exit_code = EXIT_STOPPED


class DeviceLost(RunFailedError):  # noqa: N818 - what happened, not a mistake
    """A sample left the device unusable for this process; a new one goes on with the other samples."""
