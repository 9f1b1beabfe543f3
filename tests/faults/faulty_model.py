"""The code of a model that faults: copied beside weights, loaded with ``model.trust_remote_code=true``.

What it does stands in its config: ``fault`` (kill, raise, assert, nan or hoard: at samples that hold ``fault_token``;
load_kill or load_raise: while it is loaded), ``fault_seconds`` (how long every forward takes at least) and
``fault_flag`` (a file; only the process that can make it faults).
"""

import os
import signal
import time

import torch
from transformers import Qwen2ForCausalLM


class FaultyForCausalLM(Qwen2ForCausalLM):
    """A Qwen2 with a fault."""

    def __init__(self, config):
        super().__init__(config)
        self.model.embed_tokens.register_forward_hook(self._spoil)

    @classmethod
    def from_pretrained(cls, *arguments, config=None, **options):
        """Load the weights, or fail to."""
        fault = getattr(config, "fault", "")
        if fault.startswith("load_") and cls._is_chosen(config):
            if fault == "load_kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("no space left in the model's cache")
        return super().from_pretrained(*arguments, config=config, **options)

    @staticmethod
    def _is_chosen(config):
        flag = getattr(config, "fault_flag", None)
        if flag is None:
            return True
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _spoil(self, _module, inputs, output):
        time.sleep(getattr(self.config, "fault_seconds", 0))
        victims = inputs[0] == getattr(self.config, "fault_token", -1)
        fault = getattr(self.config, "fault", "")
        if fault == "hoard":  # activations that grow with the batch, as a larger model's do
            factor = self.config.fault_factor if bool(victims.any()) else 1
            torch.ones(inputs[0].numel() * factor * self.config.fault_bytes_per_token, dtype=torch.uint8)
        if not bool(victims.any()) or not self._is_chosen(self.config):
            return output
        if fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "raise":
            raise RuntimeError("no such kernel")
        if fault == "assert":
            raise RuntimeError("CUDA error: device-side assert triggered")
        if fault == "nan":
            return output.masked_fill(victims.unsqueeze(-1), float("nan"))
        return output
