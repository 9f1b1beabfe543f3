"""Words of truth that stand for yes and no, true and false, or 1 and 0 where these are labels, each for its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_TRUE, _FALSE = ("true", "t", "yes", "y"), ("false", "f", "no", "n")
_OF_NUMBERS = (("true",), ("false",))
"""What stands for 1 and 0: only what programs write for them."""
_PAIRS = ((("yes", "no"), (_TRUE, _FALSE)), (("true", "false"), (_TRUE, _FALSE)), (("1", "0"), _OF_NUMBERS))


def truths(labels: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, int]]:
    """Return which label each word of truth stands for, and its place among the spellings of ``with_truths``.

    None where such a word may stand for several labels, or is a spelling of another one.
    """
    spelled = {word.casefold(): label for label, words in labels.items() for word in (label, *words)}
    for pair, kinds in _PAIRS:
        named = [spelled.get(word) for word in pair]
        if None in named or named[0] == named[1] or (pair[0] == "1" and len(labels) != 2):
            continue
        longest = max(map(len, labels.values()))
        found = {
            word: (label, longest + place)
            for words, label in zip(kinds, named, strict=True)
            if label is not None
            for place, word in enumerate(words)
        }
        is_clear = all(spelled.get(word, label) == label for word, (label, _) in found.items())
        return {word: each for word, each in found.items() if word not in spelled} if is_clear else {}
    return {}


def with_truths(labels: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return spellings per label with words of truth behind them, each at the place of its opposite's.

    A label's other spellings are filled up with its first one, so that the alternative of "true" is "false".
    """
    found = truths(labels)
    if not found:
        return {label: list(words) for label, words in labels.items()}
    most = max(place for _, place in found.values()) + 1
    filled = {label: [*words, *([next(iter(words), label)] * (most - len(words)))] for label, words in labels.items()}
    for word, (label, place) in found.items():
        filled[label][place] = word
    return filled
