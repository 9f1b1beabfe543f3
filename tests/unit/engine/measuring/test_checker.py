"""Nothing is measured unchecked: what becomes of a run whose check before measuring cannot be made."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from engine.attention.layout import sequence_layout
from engine.errors import DeviceLost, RunFailedError, UnsupportedModelError
from engine.machine.devices import ignore
from engine.measuring.checking import start_check
from engine.measuring.checking.checker import Checker
from engine.measuring.probe import Probe
from engine.measuring.unit_results import UnitProgress
from tests.fixtures.family_judgement import samples
from tests.fixtures.tiny_models import VOCABULARY, tiny_model


@pytest.fixture
def llama():
    return tiny_model("llama")


def checked(model, lengths, isolated=()):
    checker, progress = Checker(model, Probe(model), "tiny"), UnitProgress(ignore)
    checker.check(samples(VOCABULARY, lengths), isolated, progress)
    return checker, progress


def failing_from(model, num_tokens, error):
    """Let the model's own forward fail on texts of so many tokens or more."""

    def fail(_module: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
        if args[0].shape[1] >= num_tokens:
            raise error

    return model.get_input_embeddings().register_forward_pre_hook(fail)


def test_a_float64_model_is_checked_too(llama):
    checker, _ = checked(llama.double(), (30, 12))
    assert checker.found is not None and 0 < checker.found.largest_deviation < 1
    assert checker.found.bound == "the table of tolerances for float32"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("out of memory"), IndexError("position 33")], ids=["memory", "too long"]
)
def test_a_sample_at_fault_passes_on_to_the_next(llama, error):
    with failing_from(llama, 47, error):
        checker, progress = checked(llama, (50, 30, 12))
    assert checker.found is not None and checker.found.num_tokens == 30
    assert not progress.rejects


def test_where_none_of_those_tried_can_be_checked_nothing_is_measured(llama):
    with (
        failing_from(llama, 10, torch.OutOfMemoryError("out of memory")),
        pytest.raises(RunFailedError, match=r"on none of 3 samples .* 's0' \(out_of_memory\)"),
    ):
        checked(llama, (40, 30, 20, 5))


def test_samples_with_a_regime_to_themselves_are_rejected_where_they_cannot_be_checked(llama):
    with failing_from(llama, 10, ValueError("no such kernel")):
        checker, progress = checked(llama, (40, 30))
    assert checker.found is None
    assert [(reject.sample_id, reject.reason) for reject in progress.rejects] == [
        ("s0", "measurement_failed"),
        ("s1", "measurement_failed"),
    ]


def test_a_fault_of_the_check_itself_stops_the_run(llama, monkeypatch):
    def broken(*_arguments: object) -> object:
        raise KeyError("logits")

    monkeypatch.setattr(start_check, "tolerance", broken)
    with pytest.raises(RunFailedError, match=r"'s0' .* which the model itself takes: KeyError: 'logits'"):
        checked(llama, (40, 30, 20))


def test_a_lost_device_is_reported_as_such(llama):
    with failing_from(llama, 10, RuntimeError("CUDA error: device-side assert triggered")), pytest.raises(DeviceLost):
        checked(llama, (40,))


def test_isolated_samples_are_checked_where_there_are_no_others(llama):
    assert checked(llama, (40, 30), isolated=("s0",))[0].found.sample_id == "s1"
    assert checked(llama, (40, 30), isolated=("s0", "s1"))[0].found.sample_id == "s0"


def test_numbers_where_the_model_gives_none_are_refused(llama, monkeypatch):
    monkeypatch.setattr(start_check, "plain_logits", lambda model, layout: torch.full((VOCABULARY,), torch.nan))
    with pytest.raises(RunFailedError, match=r"by itself it gives NaN or infinity on sample 's0'"):
        checked(llama, (40,))


def test_the_bound_that_decided_is_told_with_the_true_ratio(llama, monkeypatch):
    """Logits beyond the table, by less than four times what the model's own implementations differ by."""
    layout = sequence_layout(samples(VOCABULARY, (40,))[0], 0, torch.device("cpu"))
    own, plain = {"eager": 0.3, "sdpa": 0.2}, start_check.plain_logits

    def shifted(model, layout):
        return plain(model, layout) + own.get(str(model.config._attn_implementation), 0.0)

    monkeypatch.setattr(start_check, "plain_logits", shifted)
    found = start_check.check(llama, Probe(llama), layout, "s0", "float32")
    assert found.logit_deviation == pytest.approx(0.2, rel=1e-3)
    assert found.logits_over_tolerance > 100
    assert found.largest_deviation == pytest.approx(0.2 / 0.4, rel=1e-3)
    assert found.bound == "4 times what its own eager and sdpa attention differ by on its first 40 tokens"
    own["eager"] = 0.21
    with pytest.raises(UnsupportedModelError, match=r"differ by 0\.2, and its own eager and sdpa attention by 0\.01"):
        start_check.check(llama, Probe(llama), layout, "s0", "float32")


@pytest.mark.parametrize("kind", ["gpt_oss", "granite_swa"])
def test_a_model_that_knows_eager_attention_alone_is_held_to_its_noise_too(kind):
    model = tiny_model(kind, scale=0.3).bfloat16()
    before = model.config._attn_implementation
    checker, _ = checked(model, (71, 18, 40))
    assert checker.found is not None and checker.found.largest_deviation < 1
    assert checker.found.logits_over_tolerance is not None and checker.found.logits_over_tolerance > 1
    assert "its own eager attention and the same in float32" in checker.found.bound
    assert model.config._attn_implementation == before
