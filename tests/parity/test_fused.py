"""The fused attention under Triton's interpreter, and compiled ahead of time for GPUs that need not be there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from engine.attention.backends.choice import BackendChoice
from engine.errors import ConfigError
from tests.fixtures.places import ROOT

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed (it has wheels for Linux only)"
)


def run(module: str, *arguments: str, interpret: bool) -> str:
    """Run a module in a process of its own: Triton reads TRITON_INTERPRET once, when it is imported."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_triton
@pytest.mark.parametrize("which", [["some"], pytest.param([], marks=pytest.mark.soak)], ids=["some", "every"])
def test_every_shape_mask_and_dtype_under_the_interpreter(which):
    lines = run("tests.parity.fused_cases", *which, interpret=True).splitlines()
    passed, _, total, *_ = lines[-1].split()
    assert passed == total and int(total) == len(lines) - 1 and lines[-1].endswith("on cpu")


@needs_triton
def test_kernels_compile_for_gpus_and_fit_their_memory():
    lines = run("tests.parity.fused_builds", interpret=False).splitlines()
    built = [line for line in lines if "_kernel" in line]
    assert len(built) >= 8 and all("fits" in line for line in built)


def test_auto_and_blocked_stay_off_the_kernel_where_there_is_no_gpu():
    cpu = torch.device("cpu")
    assert "fused" not in BackendChoice("auto", cpu).backends
    assert list(BackendChoice("blocked", cpu).backends) == ["blocked"]


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_fused_is_refused_where_it_cannot_run(monkeypatch, device):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ConfigError) as refused:
        BackendChoice("fused", torch.device(device))
    text = str(refused.value)
    assert "model.attention" in text and "auto, blocked and fused" in text and "\n" not in text
    assert "triton is not installed" in text or f"on {device}" in text


@needs_triton
def test_a_kernel_that_fails_leaves_the_work_to_blocked_unless_it_was_asked_for(monkeypatch, caplog):
    """Under auto a compiler or driver that cannot must not cost a run; here Triton finds no GPU."""
    from engine.attention.backends.backend import LayerCall, PackedRow
    from engine.attention.backends.blocked import BlockedBackend
    from engine.attention.backends.fused.backend import FusedBackend
    from engine.attention.layout import sequence_layout
    from engine.attention.masking import Masking
    from tests.oracles.test_statistics import encoded, tensors
    from tests.oracles.ways import blocked_attend

    if os.environ.get("TRITON_INTERPRET") == "1" or torch.cuda.is_available():
        pytest.skip("the kernel can run here")
    query, key, value = tensors(2, 1, 20, 16, seed=0)
    layout = sequence_layout(encoded(20, seed=1), 0, torch.device("cpu"))
    call, row, output = LayerCall(query, key, value, Masking(0.25)), PackedRow([layout]), torch.empty(20, 2, 16)
    for name in ("auto", "fused"):
        backend = BackendChoice("blocked", torch.device("cpu"))
        backend.name, backend.backends = name, {"fused": FusedBackend(), "blocked": BlockedBackend()}
        if name == "fused":
            with pytest.raises(ConfigError, match="failed on this machine"):
                backend.attend(call, row, output)
            continue
        (found,) = backend.attend(call, row, output)
        expected_output, expected = blocked_attend(query, key, value, Masking(0.25), layout, 0)
        assert list(backend.backends) == ["blocked"] and "going on with blocked" in caplog.text
        assert torch.equal(output, expected_output)
        assert torch.equal(found.means.nan_to_num(), expected.means.nan_to_num())
