"""Seeded reviews of invented products, and the rule that says which of them are positive.

The rule: every opinion of the writer counts 1, a strong one ("really great", "not good at all") 2; what follows *but*,
and the main clause after *although*, count double; the closing sentence on the whole product counts three times; what
others say counts nothing. Praise adds, complaints subtract, and negation turns one into the other. The sign of the sum
is the label; a sum of 0 is no label, and such a review is drawn again.
"""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import dataclass
from typing import Any

from data.sentiment import words

SEED = 5
PRODUCTS_PER_KIND = 20
HELDOUT_PER_KIND = 4
REVIEWS_PER_HELDOUT = 5
QUESTION = "Is this review of a {noun} positive or negative? Quote the words that weigh most, then answer in JSON."
LABELS = {1: "positive", -1: "negative"}
#: Smallest absolute sum for each confidence, the highest first.
CONFIDENCE = ((6, "High"), (3, "Medium"), (1, "Low"))


@dataclass(frozen=True)
class Product:
    """A product with its own chance of praise for each aspect: what makes its reviews alike."""

    name: str
    kind: str
    is_heldout: bool
    praise: dict[str, float]

    @property
    def noun(self) -> str:
        """What the prompt calls the product."""
        return words.KINDS[self.kind][0]


@dataclass(frozen=True)
class Opinion:
    """What is said of an aspect: the words, +1 or -1, how much they count, and whether a negation turns them."""

    aspect: str
    phrase: str
    sign: int
    weight: int
    is_negated: bool


@dataclass(frozen=True)
class Review:
    """A review, its opinions that count, and which of the hard constructions it has."""

    review_id: str
    product: Product
    text: str
    opinions: tuple[Opinion, ...]
    constructions: frozenset[str]

    @property
    def score(self) -> int:
        """Sum of the opinions by the rule above; never 0."""
        return sum(opinion.sign * opinion.weight for opinion in self.opinions)

    @property
    def label(self) -> str:
        """``positive`` or ``negative``."""
        return LABELS[1 if self.score > 0 else -1]

    @property
    def prompt(self) -> str:
        """The user's message."""
        return f"{QUESTION.format(noun=self.product.noun)}\n\n{self.text}"

    @property
    def answer(self) -> str:
        """The answer that is taught: one sentence that quotes the heaviest opinion, the later of equals, then JSON."""
        _, heaviest = max(enumerate(self.opinions), key=lambda item: (item[1].weight, item[0]))
        confidence = next(word for least, word in CONFIDENCE if abs(self.score) >= least)
        verdict = json.dumps({"sentiment": self.label.capitalize(), "confidence": confidence})
        return f'It says "{heaviest.phrase}" about the {heaviest.aspect}.\n{verdict}'


def products() -> list[Product]:
    """Return every product; of each kind the same number is held out, drawn by the seed."""
    found: list[Product] = []
    for kind, (_, aspects) in words.KINDS.items():
        rng = random.Random(f"{SEED}-{kind}")
        heldout = set(rng.sample(range(PRODUCTS_PER_KIND), HELDOUT_PER_KIND))
        for number in range(PRODUCTS_PER_KIND):
            whole = rng.gauss(0, 0.2)
            chances = {
                a: min(max(0.5 + whole + rng.gauss(0, 0.15), 0.05), 0.95) for a in (*aspects, *words.COMMON_ASPECTS)
            }
            found.append(Product(f"{kind}-{number + 1:02d}", kind, number in heldout, chances))
    return found


def write_review(product: Product, number: int) -> Review:
    """Return a product's review with this number, the same whenever it is asked for."""
    rng = random.Random(f"{SEED}-{product.name}-{number}")
    while True:
        review = _Writer(product, rng).review(f"{product.name}-{number:03d}")
        if review.score:
            return review


def heldout_reviews() -> list[Review]:
    """Return the reviews that the model is asked about, product by product."""
    return [write_review(p, number) for p in products() if p.is_heldout for number in range(REVIEWS_PER_HELDOUT)]


def training_reviews(count: int) -> list[Review]:
    """Return `count` reviews of the training products in turn, without the few whose text a held-out one has too."""
    training, taken = [p for p in products() if not p.is_heldout], {review.text for review in heldout_reviews()}
    written = (write_review(product, number) for number in itertools.count() for product in training)
    return list(itertools.islice((review for review in written if review.text not in taken), count))


class _Writer:
    """Writes one review; a sentence is its text and the writer's opinions in it."""

    def __init__(self, product: Product, rng: random.Random) -> None:
        self.product = product
        self.rng = rng
        self.free = list(product.praise)
        rng.shuffle(self.free)
        self.constructions: set[str] = set()

    def review(self, review_id: str) -> Review:
        sentences = [self._sentence() for _ in range(self.rng.randint(1, 3))]
        neutral = self.rng.sample(words.NEUTRAL, self.rng.choices((0, 1, 2), (20, 50, 30))[0])
        sentences.extend((self._filled(frame), []) for frame in neutral)
        if self.rng.random() < 0.3:
            sentences.append(self._hearsay())
        self.rng.shuffle(sentences)
        if self.rng.random() < 0.35:
            sentences.append(self._overall())
        opinions = tuple(opinion for _, found in sentences for opinion in found)
        if any(opinion.is_negated for opinion in opinions):
            self.constructions.add("negation")
        text = " ".join(text for text, _ in sentences)
        return Review(review_id, self.product, text, opinions, frozenset(self.constructions))

    def _sentence(self) -> tuple[str, list[Opinion]]:
        kind = self.rng.choices(("single", "liking", "pair", "but", "although"), (30, 15, 15, 25, 15))[0]
        if kind == "liking":
            return self._liking()
        first = self._opinion(self.free.pop(), 1)
        if kind == "single":
            return f"The {_said(first)}.", [first]
        if kind == "pair":
            second = self._opinion(self.free.pop(), 1)
            return f"The {_said(first)} and the {_said(second)}.", [first, second]
        self.constructions.add("contrast")
        second = self._opinion(self.free.pop(), 2, sign=-first.sign)
        if kind == "but":
            return f"The {_said(first)}, but the {_said(second)}.", [first, second]
        return f"Although the {_said(first)}, the {_said(second)}.", [first, second]

    def _liking(self) -> tuple[str, list[Opinion]]:
        aspect = self.free.pop()
        sign, is_negated = self._sign(self.product.praise[aspect]), self.rng.random() < 0.25
        verb = self.rng.choice(words.LIKING if (sign > 0) != is_negated else words.DISLIKING)
        phrase = f"do not {verb}" if is_negated else verb
        return f"I {phrase} the {aspect}.", [Opinion(aspect, phrase, sign, 1, is_negated)]

    def _filled(self, frame: str) -> str:
        fillers = {name: self.rng.choice(found) for name, found in words.FILLERS.items()}
        return frame.format(number=self.rng.randint(2, 12), **fillers)

    def _hearsay(self) -> tuple[str, list[Opinion]]:
        self.constructions.add("hearsay")
        said = self._opinion(self.free.pop(), 0)
        return self.rng.choice(words.HEARSAY).format(aspect=said.aspect, phrase=said.phrase), []

    def _overall(self) -> tuple[str, list[Opinion]]:
        self.constructions.add("overall")
        opinion = self._opinion("product", 3)
        return self.rng.choice(words.OVERALL).format(phrase=opinion.phrase), [opinion]

    def _opinion(self, aspect: str, factor: int, sign: int = 0) -> Opinion:
        every = self.product.praise
        sign = sign or self._sign(every.get(aspect, sum(every.values()) / len(every)))
        is_negated = self.rng.random() < 0.25
        pool = words.PRAISE if (sign > 0) != is_negated else words.COMPLAINTS
        word = self.rng.choices(pool, [1 / (rank + 1) for rank in range(len(pool))])[0]
        if is_negated:
            frame = self.rng.choice(words.NEGATIONS)
            return Opinion(aspect, frame.format(word), sign, (2 if "at all" in frame else 1) * factor, True)
        if self.rng.random() < 0.3:
            return Opinion(aspect, f"{self.rng.choice(words.INTENSIFIERS)} {word}", sign, 2 * factor, False)
        return Opinion(aspect, word, sign, factor, False)

    def _sign(self, chance: float) -> int:
        return 1 if self.rng.random() < chance else -1


def _said(opinion: Opinion) -> str:
    return f"{opinion.aspect} is {opinion.phrase}"


def read_answer(answer: str) -> dict[str, Any]:
    """Return ``sentiment`` and ``confidence`` of the answer's last line in lower case, None where it has none."""
    try:
        said = json.loads(answer.strip().rsplit("\n", 1)[-1])
    except ValueError:
        said = None
    said = said if isinstance(said, dict) else {}
    return {name: str(said[name]).lower() if name in said else None for name in ("sentiment", "confidence")}
