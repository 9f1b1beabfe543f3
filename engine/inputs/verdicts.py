"""What a first reading found an answer to say, kept so that the second reading of its row need not find it again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b

from engine.inputs.answers.decided import DecidedLabel
from engine.inputs.answers.words import LabelWord

_DIGEST_BYTES = 8


@dataclass(frozen=True, slots=True)
class Verdict:
    """The label of an answer, where the model's turn ends, and flags.

    Attributes
    ----------
    decided
        The label, and the word that holds the decision.
    end
        One past the last character of the model's own turn.
    flags
        Remarks on how it ends.
    """

    decided: DecidedLabel
    end: int
    flags: tuple[str, ...]

    def packed(self, answer: str) -> bytes:
        """Return the verdict on an answer as bytes for this run: some 200, where the objects take a thousand."""
        decided, word = self.decided, self.decided.word
        told = (
            self.end,
            self.flags,
            (decided.recorded, decided.label, decided.source, decided.flags, decided.language),
            (word.label, word.spelling, word.start, word.end),
        )
        return _digest(answer) + json.dumps(told, separators=(",", ":")).encode("ascii")

    @classmethod
    def unpacked(cls, content: bytes, answer: str) -> Verdict | None:
        """Return what ``packed`` made bytes of; None where there are none, or of another answer."""
        if content[:_DIGEST_BYTES] != _digest(answer):
            return None
        end, flags, (recorded, label, source, own, language), word = json.loads(content[_DIGEST_BYTES:])
        return cls(DecidedLabel(recorded, label, source, LabelWord(*word), tuple(own), language), end, tuple(flags))


def _digest(answer: str) -> bytes:
    return blake2b(answer.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
