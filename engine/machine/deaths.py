"""What a process died of, as far as the kernel or the process itself could say it."""

from __future__ import annotations

import faulthandler
import os
from pathlib import Path

_KERNEL_COUNTS = Path("/proc/vmstat")
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_WORDS = {
    "Segmentation fault": "SIGSEGV",
    "Bus error": "SIGBUS",
    "Aborted": "SIGABRT",
    "Floating-point exception": "SIGFPE",
    "Floating point exception": "SIGFPE",
    "Illegal instruction": "SIGILL",
}
"""How Python names the signals that a fault of the process itself raises."""

OF_MEMORY = "the system had killed for want of memory"


def num_killed_for_memory() -> int:
    """Return how many processes the kernel has killed for want of memory, of the host's or a control group's.

    0 where it does not say.
    """
    try:
        counts = dict(line.split() for line in _KERNEL_COUNTS.read_text().splitlines())
        return int(counts.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0


def kernel_facts() -> dict[str, object]:
    """Return what a later process on this machine needs to know to tell whether the kernel killed in between."""
    return {"boot": _boot(), "killed_for_memory": num_killed_for_memory()}


def has_killed_for_memory_since(facts: object) -> bool:
    """Whether this machine's kernel has killed for want of memory since ``kernel_facts`` were taken on it."""
    if not isinstance(facts, dict) or facts.get("boot") is None or facts.get("boot") != _boot():
        return False
    before = facts.get("killed_for_memory")
    return isinstance(before, int) and num_killed_for_memory() > before


def _boot() -> str | None:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return None


def say_last_words(path: Path) -> Path:
    """Let this process write into a file which signal a fault of its own raised; a kill from outside says nothing.

    The file stays open for as long as the process lives.
    """
    faulthandler.enable(file=os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), all_threads=False)
    return path


def signal_of_last_words(path: Path) -> str | None:
    """Return the name of the signal that a process said it died of; None where it said nothing."""
    try:
        first = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
    except OSError:
        return None
    return next((name for words, name in _WORDS.items() if words in first), None)
