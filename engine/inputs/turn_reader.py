"""What a model wrote in its own turn: where it ends, the thought in it, and the label that it states."""

from __future__ import annotations

from dataclasses import dataclass

from engine.inputs.answers.decided import DecidedLabel, LabelDecider
from engine.inputs.answers.recorded import RecordedValue
from engine.inputs.conversations.conversation import Conversation
from engine.inputs.conversations.invented_turns import ended_once, invented_turns
from engine.inputs.conversations.thoughts.marked import Thoughts
from engine.inputs.conversations.thoughts.recorded import thoughts_in
from engine.inputs.outcomes.free_answers import FreeAnswers
from engine.inputs.outcomes.ranked import RankedAnswers
from engine.inputs.transcripts import TranscriptReader, has_role_line
from engine.inputs.verdicts import Verdict
from engine.samples import RowRejected

_MOST_CHARACTERS = 2**19
"""Characters of an answer in which labels are looked for: more than any model writes at once."""
_MOST_TURNS = 20
"""Places at which a next turn could begin that are tried."""
_ROLE_LINES = ("role_lines_inside",)


@dataclass(frozen=True, slots=True)
class OwnTurn:
    """What a model wrote in its own turn, and what that says.

    Attributes
    ----------
    decided
        The label, and the word that holds the decision.
    response
        What the model wrote up to the end of its turn.
    thoughts
        Where it thinks.
    flags
        Remarks on both.
    verdict
        The same for a second reading (``verdicts``).
    """

    decided: DecidedLabel
    response: str
    thoughts: Thoughts
    flags: tuple[str, ...]
    verdict: bytes


class TurnReader:
    """Finds the own turn of an answer.

    Parameters
    ----------
    transcripts
        Knows how turns are marked.
    """

    def __init__(self, transcripts: TranscriptReader):
        self.transcripts = transcripts

    def own_turn(
        self,
        decider: LabelDecider | FreeAnswers | RankedAnswers,
        recorded: RecordedValue,
        answer: str,
        conversation: Conversation,
        verdict: bytes,
    ) -> OwnTurn:
        """Return the own turn of an answer, as it is read now or was in a first reading.

        Raises
        ------
        RowRejected
            When there is no label, or too much to look for one in.
        """
        if len(answer) > _MOST_CHARACTERS:
            raise RowRejected(
                "label",
                "longer_than_context",
                f"The answer has {len(answer):,} characters; labels are read from at most {_MOST_CHARACTERS:,}.",
            )
        whole, thoughts, flags = thoughts_in(conversation, answer, self.transcripts.markup)
        known = Verdict.unpacked(verdict, whole)
        if known is None:
            decided, response, cut = self._decided_in_turn(decider, recorded, whole, thoughts, conversation)
        else:
            decided, response, cut = known.decided, whole[: known.end], known.flags
        kept = Verdict(decided, len(response), cut).packed(whole) if whole.startswith(response) else b""
        if conversation.recorded_prompt is not None and has_role_line(conversation.messages, response):
            cut = tuple(dict.fromkeys((*cut, *_ROLE_LINES)))
        return OwnTurn(decided, response, thoughts, (*flags, *cut), kept)

    def _decided_in_turn(
        self,
        decider: LabelDecider | FreeAnswers | RankedAnswers,
        recorded: RecordedValue,
        response: str,
        thoughts: Thoughts,
        conversation: Conversation,
    ) -> tuple[DecidedLabel, str, tuple[str, ...]]:
        """Return the label of the answer behind the thought, what the model wrote up to the next turn, and flags.

        Where a model goes on to write the next turn, its own ends, if it said a label before; where it did not, what
        looks like a turn may be part of the answer, and is flagged only.

        Raises
        ------
        RowRejected
            When there is no label.
        """
        ends: tuple[str, ...] = ()
        if conversation.answer_ids is None and not isinstance(decider, RankedAnswers):
            response, ends = ended_once(response, self.transcripts.markup.tokens)
        stop = min(thoughts.end, len(response))
        users = [message.content for message in conversation.messages if message.role == "user"]
        places = invented_turns(
            response,
            thoughts.start,
            end=stop,
            marks=self.transcripts.markup.turn_marks,
            prompt=users[-1] if users else "",
        )
        for place in places[:_MOST_TURNS]:
            try:
                decided = decider.decided(recorded, response, thoughts.start, place)
            except RowRejected:
                continue
            return decided, response[:place].rstrip(), ("cut_at_next_turn",)
        decided = decider.decided(recorded, response, thoughts.start, stop)
        return decided, response, (*ends, *(_ROLE_LINES if places else ()))
