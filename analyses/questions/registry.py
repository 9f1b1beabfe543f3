"""Every question that is asked of a run: the one list that an analysis, its report and its files go through."""

from __future__ import annotations

from analyses.questions.attributions.question import Attributions
from analyses.questions.causes.question import Causes
from analyses.questions.circuits.question import Circuits
from analyses.questions.correlations.question import Correlations
from analyses.questions.decodability.question import Decodability
from analyses.questions.differences.question import Differences
from analyses.questions.heads.question import Heads
from analyses.questions.hypotheses.question import Hypotheses
from analyses.questions.overview.question import Overview
from analyses.questions.power.question import Power
from analyses.questions.profiles.question import Profiles
from analyses.questions.question import Question
from analyses.questions.reading.question import Reading
from analyses.questions.retrieval.question import Retrieval

QUESTIONS: tuple[Question, ...] = (
    Overview(),
    Differences(),
    Attributions(),
    Retrieval(),
    Reading(),
    Heads(),
    Causes(),
    Circuits(),
    Decodability(),
    Correlations(),
    Hypotheses(),
    Profiles(),
    Power(),
)
"""In the order of the tiles at the top of the report and of its methods; chapters have an order of their own."""
