"""The cases of the fused attention on a real GPU; ``make test`` skips them where there is none."""

from __future__ import annotations

import pytest
import torch

from tests.parity.test_fused import needs_triton, run

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.version.hip is not None, reason="there is no NVIDIA GPU"
)


@needs_triton
@needs_gpu
def test_every_shape_mask_and_dtype_on_the_gpu():
    lines = run("tests.parity.fused_cases", interpret=False).splitlines()
    passed, _, total, *_ = lines[-1].split()
    assert passed == total and lines[-1].endswith("on cuda")


@needs_triton
@needs_gpu
def test_auto_takes_the_kernel_on_a_gpu():
    from engine.attention.backends.choice import BackendChoice

    backend = BackendChoice("auto", torch.device("cuda"))
    assert ("fused" in backend.backends) == (torch.cuda.get_device_capability() >= (8, 0))
