"""Whatever the second and the seed of hashes: every process collects the same tests, by the same ids."""

import os
import re
import subprocess
import sys
import tempfile

import pytest

from tests.fixtures.ids import COLLECTED, as_id
from tests.fixtures.places import ROOT


def start_collecting(seed):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=ROOT,
        env={**kept, "PYTHONHASHSEED": seed},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def by_file(ids):
    """Return the tests of each file in their order; that of the files is the runner's."""
    found = {}
    for name in ids:
        found.setdefault(name.partition("::")[0], []).append(name)
    return found


def collected(process):
    printed, _ = process.communicate()
    assert process.returncode == 0, printed[-2000:]
    return [line for line in printed.splitlines() if line.startswith("tests/") and "::" in line]


def test_every_process_collects_the_same_tests(request):
    """This process's own collection counts where it is of the whole suite: its second and its seed are others."""
    ids, others = collected(start_collecting("0")), request.config.stash[COLLECTED]
    if by_file(ids).keys() != by_file(others).keys():
        others = collected(start_collecting("1"))
    assert set(ids) ^ set(others) == set()
    assert by_file(ids) == by_file(others), "the same tests in another order"
    own = re.compile(rf"\b0x[0-9a-f]{{6,}}|{re.escape(str(ROOT))}|{re.escape(tempfile.gettempdir())}/", re.IGNORECASE)
    assert [name for name in ids if own.search(name)] == [], "addresses and folders of this process"
    assert len(ids) > 2000


@pytest.mark.parametrize(
    "value",
    [b"x", {1, 2}, lambda: None, object(), [b"x"], {"key": object()}],
    ids=["bytes", "set", "function without a name", "object", "list of bytes", "dict of objects"],
)
def test_what_has_no_id_of_its_own_needs_one(value):
    with pytest.raises(TypeError, match="needs an id"):
        as_id(value)
