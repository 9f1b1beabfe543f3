"""Answers with what the model wrote in front of them: a thought recorded apart, channels that a record lost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from engine.encoding.sequences.chat_template import REFUSALS, ChatTemplate, turn_of
from engine.inputs.conversations.thoughts.marked import closing_mark, opens_thought, says_something, thoughts_of
from engine.samples import Message, Sample

_MARKS = {"user": "\ue000u\ue001", "reasoning": "\ue000r\ue001", "content": "\ue000c\ue001"}
_Turns = list[dict[str, object]]


class Thought(NamedTuple):
    """An answer with its thought in front, where the answer begins in it, and whether the layout is assumed."""

    text: str
    start: int
    is_assumed: bool


@dataclass(frozen=True, slots=True)
class AnswerPlaces:
    """Puts in front of answers what a chat template puts there.

    Attributes
    ----------
    template
        The run's chat template.
    generation_prompt
        What it writes between the user's text and the answer.
    lead
        What it writes between that and an answer: a channel, an empty thought, a mark, or nothing.
    special
        Pattern of the tokens that decoding leaves out.
    """

    template: ChatTemplate
    generation_prompt: str
    lead: str
    special: re.Pattern[str] = re.compile(r"(?!)")

    @classmethod
    def of(cls, template: ChatTemplate, generation_prompt: str, special: re.Pattern[str]) -> AnswerPlaces:
        """Return the places of a template."""
        return cls(template, generation_prompt, _answer_lead(template), special)

    def placed(self, sample: Sample, prompt: str) -> tuple[Sample, list[str]]:
        """Return a sample whose thought, recorded apart, stands where the template puts it; and flags."""
        if sample.reasoning is None:
            return self._in_channels(sample, prompt)
        thought = self._with_thought(prompt, sample, sample.reasoning, sample.response)
        if thought is None:
            return sample, ["reasoning_left_out"]
        flags = ["reasoning_placed", *(["thought_layout_assumed"] if thought.is_assumed else [])]
        return _placed(sample, thought, prompt), flags

    def _in_channels(self, sample: Sample, prompt: str) -> tuple[Sample, list[str]]:
        """Return a sample whose answer has the channels that its template writes, where the record lost them."""
        if sample.answer_ids is not None or not prompt.endswith(self.generation_prompt):
            return sample, []
        if "<|channel|>" not in self.lead:
            if self._is_mark(self.lead) and self.lead.strip() not in sample.response:
                return _behind(self.lead, sample), ["answer_mark_restored"]
            has_none = not sample.thoughts and bool(thoughts_of(self.lead + "x").spans)
            return sample, ["thought_not_recorded"] if has_none else []
        if "<|channel|>" in sample.response:
            return sample, []
        channels = thoughts_of(sample.response)
        said = sample.response[channels.start : channels.end]
        thought: Thought | None = Thought(self.lead + said.strip(), len(self.lead), is_assumed=True)
        if channels.spans:  # analysis…assistantfinal…, without the special tokens between
            bare = re.sub(r"^\s*(?:assistant\s?)?analysis|\s*assistant\n?final$", "", sample.response[: channels.start])
            thought = self._with_thought(prompt, sample, bare, said)
        if thought is None:
            return sample, ["channels_lost"]
        start, end = sample.label_start - channels.start, sample.label_end - channels.start
        bare_sample = replace(sample, response=said, label_start=start, label_end=end)
        return _placed(bare_sample, thought, prompt), ["channels_restored"]

    def _is_mark(self, lead: str) -> bool:
        """Whether what stands in front of answers is special tokens alone, which records of an answer's text lose."""
        return bool(lead.strip()) and not self.special.sub("", lead).strip() and not thoughts_of(lead + "x").spans

    def _with_thought(self, sample_prompt: str, sample: Sample, reasoning: str, answer: str) -> Thought | None:
        """Return an answer behind its thought, as the template writes both; None where it has no place for it."""
        if self.template.text is None:
            return _assumed(sample_prompt, reasoning, answer)
        asked = [turn_of(message) for message in sample.messages]
        user: _Turns = [turn_of(Message("user", _MARKS["user"]))]
        for turns, thought, said in (
            (asked, reasoning, answer),
            (user, _MARKS["reasoning"], _MARKS["content"]),
        ):
            prompt_and_whole = self._rendered(turns, thought, said, sample.template_fields)
            if prompt_and_whole is None or (turns is asked and prompt_and_whole[0] != sample_prompt):
                continue  # a recorded prompt: the layout is taken from another conversation
            found = _layout(*prompt_and_whole, thought, said)
            if found is not None:
                before, between = found
                lead = before + reasoning.strip() + between
                return Thought(lead + answer.strip(), len(lead), is_assumed=False)
        return _assumed(sample_prompt, reasoning, answer)

    def _rendered(
        self, turns: Sequence[Mapping[str, object]], thought: str, said: str, fields: Mapping[str, object]
    ) -> tuple[str, str] | None:
        turn = {"role": "assistant", "content": said, "reasoning_content": thought, "thinking": thought}
        try:
            return self.template.applied(turns, fields), self.template.applied([*turns, turn], fields, is_prompt=False)
        except REFUSALS:
            return None


def _answer_lead(template: ChatTemplate) -> str:
    """Return what a template writes between its prompt and an answer."""
    if template.text is None:
        return ""
    turns: _Turns = [{"role": "user", "content": _MARKS["user"]}]
    answered: _Turns = [*turns, {"role": "assistant", "content": _MARKS["content"]}]
    try:
        prompt, whole = template.applied(turns, {}), template.applied(answered, {}, is_prompt=False)
    except REFUSALS:
        return ""
    return whole[len(prompt) :].partition(_MARKS["content"])[0] if whole.startswith(prompt) else ""


def _assumed(prompt: str, reasoning: str, answer: str) -> Thought | None:
    """Return the layout that models write where the prompt opened the thought: closed on a line of its own."""
    if not opens_thought(prompt):
        return None
    lead = f"{reasoning.strip()}\n{closing_mark(prompt)}\n\n"
    return Thought(lead + answer.strip(), len(lead), is_assumed=True)


def _layout(prompt: str, whole: str, thought: str, answer: str) -> tuple[str, str] | None:
    """Return what a template writes before a thought, and between the thought and the answer, behind its own prompt."""
    thought, answer = thought.strip(), answer.strip()
    start = len(prompt)
    if not whole.startswith(prompt):
        return None
    begin = whole.find(thought, start)
    end = -1 if begin < 0 else whole.find(answer, begin + len(thought))
    return None if end < 0 else (whole[start:begin], whole[begin + len(thought) : end])


def _behind(lead: str, sample: Sample) -> Sample:
    """Return a sample whose answer stands behind marks that its record lost."""
    moved = len(lead) - (len(sample.response) - len(sample.response.lstrip()))
    return replace(
        sample,
        response=lead + sample.response.lstrip(),
        label_start=sample.label_start + moved,
        label_end=sample.label_end + moved,
        thoughts=tuple((max(first + moved, 0), last + moved) for first, last in sample.thoughts),
    )


def _placed(sample: Sample, thought: Thought, prompt: str) -> Sample:
    """Return a sample with what stands in front of its answer."""
    moved = thought.start - (len(sample.response) - len(sample.response.lstrip()))
    spans = thoughts_of(thought.text, is_open=opens_thought(prompt)).spans
    if not spans and "<|channel|>" not in thought.text and says_something(thought.text[: thought.start]):
        spans = ((0, thought.start),)  # marks that we do not know
    return replace(
        sample,
        response=thought.text,
        label_start=sample.label_start + moved,
        label_end=sample.label_end + moved,
        thoughts=spans,
    )
