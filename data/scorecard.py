"""The teacher: a balanced logistic regression on the words of ``answers.words_of``.

It is fitted on the training companies' true outcomes only, and labels the jittered copies (distillation).
The same module holds the logistic regression on the plain figures that the demo model is compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from data.answers import CHANGE_WORDS, LEVEL_WORDS, MARGIN_WORDS, SHARE_WORDS, Verdict, words_of
from data.prompts import Statement, periods

#: Words the two scorecards use, by number of periods. Operating and net income's changes are read and
#: stated but carry nothing beyond EPS on the training companies.
SCORED = {
    1: ("margin", "share", "level"),
    2: ("margin", "share", "level", "receivables", "sales", "eps"),
}
VOCABULARY = {
    "margin": MARGIN_WORDS,
    "share": SHARE_WORDS,
    "level": LEVEL_WORDS,
    "receivables": CHANGE_WORDS,
    "sales": CHANGE_WORDS,
    "eps": CHANGE_WORDS,
}
#: Inverse L2 strength, from company-grouped cross-validation on training and development companies.
TEACHER_C = 0.1
BASELINE_C = 0.1
MAGNITUDE = {
    "rose": "Slight",
    "fell": "Moderate",
    "rose sharply": "Moderate",
    "none": "Slight",
}


def one_hot(words: Mapping[str, str], count: int) -> list[float]:
    """Make the indicator vector of the scored words."""
    return [float(words[name] == word) for name in SCORED[count] for word in VOCABULARY[name]]


@dataclass(frozen=True)
class Scorecard:
    """Fitted teacher for one- and two-period statements."""

    models: dict[int, LogisticRegression]
    certainty_cuts: dict[int, tuple[float, float]]

    def score(self, statement: Statement) -> float:
        """Log-odds of an increase under equal priors; positive means increase."""
        count = periods(statement)
        row = np.asarray([one_hot(words_of(statement), count)])
        return float(self.models[count].decision_function(row)[0])

    def verdict(self, statement: Statement, direction: str | None = None) -> Verdict:
        """Give the three short fields; `direction` replaces the teacher's (true outcomes)."""
        count, words, score = periods(statement), words_of(statement), self.score(statement)
        low, high = self.certainty_cuts[count]
        certainty = "Low" if abs(score) < low else "Medium" if abs(score) < high else "High"
        if count == 2:
            magnitude = MAGNITUDE.get(words["eps"], "Significant")
        else:
            magnitude = {"negative": "Significant", "thin": "Moderate"}.get(words["margin"], "Slight")
        return Verdict(direction or ("Increase" if score > 0 else "Decrease"), magnitude, certainty)


def fit_scorecard(statements: Sequence[Statement], labels: Sequence[str]) -> Scorecard:
    """Fit the teacher on true outcomes (``increase``/``decrease``) of training companies.

    Two-period statements also serve, by their latest column, to fit the one-period scorecard.
    """
    models: dict[int, LogisticRegression] = {}
    cuts: dict[int, tuple[float, float]] = {}
    target = np.asarray([label == "increase" for label in labels])
    for count in (1, 2):
        chosen = [i for i, s in enumerate(statements) if count == 1 or periods(s) == 2]
        rows = np.asarray([one_hot(words_of(statements[i]), count) for i in chosen])
        model = LogisticRegression(C=TEACHER_C, class_weight="balanced", max_iter=1000)
        models[count] = model.fit(rows, target[chosen])
        low, high = np.quantile(np.abs(model.decision_function(rows)), [1 / 3, 2 / 3])
        cuts[count] = (float(low), float(high))
    return Scorecard(models, cuts)


def bounded_change(before: float, after: float) -> float:
    """Change relative to the mean size of both values: within -1..1, whatever the signs."""
    size = abs(before) + abs(after)
    return (after - before) / size if size else 0.0


def plain_features(statement: Statement) -> list[float]:
    """Continuous versions of the same figures, for the logistic regression beside the model."""
    latest = {item: values[-1] for item, values in statement.items()}
    net, eps = latest["net_income"], latest["eps"]
    margin = np.clip(net / max(latest["sales"], 0.001), -0.5, 0.5)
    share = np.clip(net / max(latest["operating_income"], 0.001), -1.0, 2.0)
    features = [float(margin), float(share), float(np.sign(eps) * np.log1p(abs(eps)))]
    if periods(statement) == 2:
        changes = [bounded_change(*statement[item]) for item in ("receivables", "sales", "net_income", "eps")]
        features += changes
    return features


def fit_baseline(statements: Sequence[Statement], labels: Sequence[str], count: int) -> Pipeline:
    """Class-balanced logistic regression on the plain features of `count`-period statements."""
    chosen = [i for i, s in enumerate(statements) if count == 1 or periods(s) == 2]
    shortened = [{k: v[-count:] for k, v in statements[i].items()} for i in chosen]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=BASELINE_C, class_weight="balanced", max_iter=1000))
    return model.fit(np.asarray([plain_features(s) for s in shortened]), [labels[i] == "increase" for i in chosen])
