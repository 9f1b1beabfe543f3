"""Models that are loaded already, lent to code that would load them by their path."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class LentModel:
    """A model and its tokenizer, as their owner loaded them."""

    model: PreTrainedModel
    tokenizer: Any

    def fingerprint(self) -> str:
        """Return what tells this model from another: a digest of its config and of the sums over its weights."""
        digest = hashlib.sha256(self.model.config.to_json_string().encode())
        for name, weight in self.model.state_dict().items():
            whole = weight.detach().double()
            digest.update(
                f"{name}:{tuple(whole.shape)}:{float(whole.sum())!r}:{float(whole.square().sum())!r}".encode()
            )
        return f"loaded:{digest.hexdigest()}"

    def tokenizer_fingerprint(self) -> str:
        """Return a digest of the tokenizer's vocabulary and chat template."""
        words = sorted(self.tokenizer.get_vocab().items(), key=lambda item: (item[1], item[0]))
        template = getattr(self.tokenizer, "chat_template", None)
        return f"loaded:{hashlib.sha256(repr((words, template)).encode()).hexdigest()}"


_lent: ContextVar[LentModel | None] = ContextVar("headledger_lent_model", default=None)


@contextmanager
def lent(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Iterator[None]:
    """Let everything inside, in this process, take this model and tokenizer instead of loading those of the config."""
    token = _lent.set(LentModel(model, tokenizer))
    try:
        yield
    finally:
        _lent.reset(token)


def lent_model() -> LentModel | None:
    """Return the model that is lent here, or None."""
    return _lent.get()
