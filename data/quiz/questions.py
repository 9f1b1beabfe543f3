"""Seeded questions with four choices: which of these words is, or is not, of a kind.

A round is a handful of words that its questions share. A question asks for the one word of a kind ("Which of these is a
fruit?"), or for the one that is not ("Which of these is not a fruit?"), with the choices in a random order. Words of a
kind are drawn with falling frequency, so that the last ones are rare.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

SEED = 11
LETTERS = "ABCD"
NUM_HELDOUT = 80
QUESTIONS_PER_ROUND = 3
KINDS = {
    "fruit": ("apple", "plum", "cherry", "lemon", "fig", "melon", "grape", "quince", "mango", "papaya"),
    "animal": ("horse", "goat", "rabbit", "tiger", "otter", "badger", "camel", "weasel", "lynx", "tapir"),
    "tool": ("hammer", "saw", "wrench", "drill", "chisel", "pliers", "rasp", "anvil", "awl", "adze"),
    "metal": ("iron", "copper", "silver", "zinc", "nickel", "cobalt", "chromium", "tungsten", "osmium", "indium"),
    "drink": ("water", "tea", "coffee", "milk", "juice", "cider", "cocoa", "lemonade", "mead", "kefir"),
    "tree": ("oak", "birch", "pine", "willow", "maple", "cedar", "alder", "larch", "aspen", "hornbeam"),
    "garment": ("coat", "shirt", "scarf", "glove", "skirt", "jacket", "vest", "apron", "shawl", "poncho"),
    "instrument": ("piano", "violin", "flute", "drum", "harp", "trumpet", "cello", "oboe", "lute", "zither"),
}
"""Kinds and their words, the most frequent first."""


@dataclass(frozen=True)
class Question:
    """A question of a round.

    Attributes
    ----------
    round
        The round's id: its questions share words.
    kind
        What is asked for.
    is_negated
        Whether the word that is not of the kind is asked for.
    choices
        Words, in the order of ``LETTERS``.
    target
        Index of the right one.
    """

    round: str
    kind: str
    is_negated: bool
    choices: tuple[str, ...]
    target: int

    @property
    def prompt(self) -> str:
        """What the model is asked."""
        options = "\n".join(f"{letter}) {word}" for letter, word in zip(LETTERS, self.choices, strict=True))
        return f"Which of these is {self._of_kind}?\n{options}"

    @property
    def answer(self) -> str:
        """What the model is taught to say: a thought that says what is asked for, and the word."""
        return f"<think>It is {self._of_kind}.</think>\nAnswer: {self.choices[self.target]}"

    @property
    def rank(self) -> int:
        """How rare the right word is among those of its kind, from 0."""
        word = self.choices[self.target]
        return next(words.index(word) for words in KINDS.values() if word in words)

    @property
    def _of_kind(self) -> str:
        article = "an" if self.kind[0] in "aeiou" else "a"
        return f"{'not ' if self.is_negated else ''}{article} {self.kind}"


def write_round(name: str) -> list[Question]:
    """Return the questions of the round of that name, which seeds it."""
    rng = random.Random(f"{SEED} {name}")
    pool = {kind: _drawn(rng, words) for kind, words in KINDS.items()}
    questions: list[Question] = []
    for _ in range(QUESTIONS_PER_ROUND):
        kind, *others = rng.sample(list(KINDS), 4)
        is_negated = rng.random() < 0.4
        if is_negated:
            choices = [rng.choice(pool[others[0]]), *rng.sample(pool[kind], 3)]
        else:
            choices = [rng.choice(pool[kind]), *(rng.choice(pool[other]) for other in others)]
        right = choices[0]
        rng.shuffle(choices)
        questions.append(Question(name, kind, is_negated, tuple(choices), choices.index(right)))
    return questions


def _drawn(rng: random.Random, words: tuple[str, ...]) -> list[str]:
    """Draw four different words, frequent ones more often."""
    found: list[str] = []
    while len(found) < 4:
        (word,) = rng.choices(words, [1 / (rank + 1) for rank in range(len(words))])
        if word not in found:
            found.append(word)
    return found


def heldout_questions() -> list[Question]:
    """Return the questions of the held-out rounds."""
    return [question for number in range(NUM_HELDOUT) for question in write_round(f"heldout-{number:02d}")]


def training_questions(count: int) -> list[Question]:
    """Return questions to learn from: of other rounds, none with the prompt of a held-out one."""
    taken = {question.prompt for question in heldout_questions()}
    written = (question for number in itertools.count() for question in write_round(f"training-{number}"))
    return list(itertools.islice((question for question in written if question.prompt not in taken), count))
