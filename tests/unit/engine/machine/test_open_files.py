"""Ray under a limit of open files: the limit is raised as far as it may be, and a sentence says what is needed."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from engine.errors import ConfigError
from engine.machine.open_files import require_open_files
from tests.fixtures.places import ROOT


@pytest.fixture
def limits(monkeypatch):
    """The limits of this process, which only look as if they were changed."""
    held = {"now": (64, 64)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: held["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: held.update(now=new))
    return held


def test_a_limit_that_may_be_raised_is_raised(limits):
    limits["now"] = (64, 4096)
    require_open_files(1024, "cluster.mode")
    assert limits["now"] == (4096, 4096)
    limits["now"] = (2048, 4096)
    require_open_files(1024, "cluster.mode")
    assert limits["now"] == (2048, 4096), "what is enough is left alone"
    limits["now"] = (64, resource.RLIM_INFINITY)
    require_open_files(1024, "cluster.mode")
    assert limits["now"] == (1024, resource.RLIM_INFINITY)


def test_a_limit_that_may_not_be_raised_is_a_sentence(limits):
    with pytest.raises(ConfigError, match=r"cluster\.mode: .*64 files .*ulimit -n 1024.*cluster\.mode=inline"):
        require_open_files(1024, "cluster.mode")


def test_a_local_run_under_such_a_limit_ends_in_the_sentence(config_file):
    done = subprocess.run(
        [sys.executable, "-m", "engine.run", str(config_file), "cluster.mode=local", "--stage", "collect"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "ulimit -n" in done.stderr and "cluster.mode=inline" in done.stderr
