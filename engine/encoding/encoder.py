"""Samples → encoded samples: chat template, character offsets, decision position, contrast tokens, token groups.

Prompt and answer are tokenised separately and concatenated, as generation did; the recorded answer is teacher-forced.
Recorded token ids are used as they are.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from engine.config import Config
from engine.encoded_samples import EncodedSample, LabelToken
from engine.encoding.conversations import chat_markup, without_special_tokens
from engine.encoding.decision_tokens import decision_tokens
from engine.encoding.evidence import add_evidence
from engine.encoding.groups.token_groups import TokenGroups
from engine.encoding.sequences.chat_template import ChatTemplate
from engine.encoding.sequences.placed_answers import AnswerPlaces
from engine.encoding.sequences.tokens import prompt_tokens, recorded_tokens
from engine.encoding.structure import (
    Structure,
    has_empty_period,
    has_figure_without_sign,
    has_unread_figures,
    has_unread_table,
    structure_of,
    unordered_header,
)
from engine.encoding.tokenized_text import TokenizedText, Tokens, tokenize
from engine.inputs.conversations.markup import ChatMarkup
from engine.samples import FLAG_NAMES, Message, RowRejected, Sample
from engine.schema import KEPT_PREFIX

_LONG = 16
"""Characters per token of context above which a text is first counted by a part of it."""
_LONGEST_HEADER = 30
"""Characters of a header that a flag names."""
_REPEATED_FIELDS = (
    "cluster",
    "year",
    "actual_label",
    "predicted_label",
    "raw_predicted_label",
    "label_source",
    "is_correct",
    "certainty",
    "magnitude",
)
"""What the ``samples`` table repeats of a sample."""


class Encoder:
    """Encodes samples for one tokenizer and one config.

    Parameters
    ----------
    config
        The run's config.
    tokenizer
        A fast tokenizer.
    groups
        Key groups and query groups.
    max_tokens
        The model's context length, or None when it has no limit.
    """

    def __init__(self, config: Config, tokenizer: Any, groups: TokenGroups, max_tokens: int | None):
        self.config = config
        self.tokenizer = tokenizer
        self.groups = groups
        self.max_tokens = max_tokens
        self.chat_template = ChatTemplate.of(config, tokenizer)
        self.template = self.chat_template.text

    @cached_property
    def _markup(self) -> ChatMarkup:
        return chat_markup(self.chat_template)  # not before a sample is encoded: tokens alone need no tokenizer

    @cached_property
    def _places(self) -> AnswerPlaces:
        return AnswerPlaces.of(self.chat_template, self._markup.generation_prompt, self._markup.special)

    def encode(self, sample: Sample) -> EncodedSample:
        """Return the sample as the model saw it.

        Raises
        ------
        RowRejected
            When it is longer than the model's context, or the labels' tokens cannot be told apart in it.
        """
        prompt, asked, flags = self._prompt(sample)
        sample, placed = self._places.placed(sample, prompt)
        sample, answer = self._answer(sample, prompt)
        self._refuse_longer(len(asked.ids), len(answer.ids))
        if not asked.ids:
            raise RowRejected("encode", "empty_prompt", "The prompt has no token, so no row predicts the answer.")
        decision = decision_tokens(self.tokenizer, self.config.decision, sample, answer)
        structure = structure_of(prompt, sample.messages)
        flags += add_evidence(structure, prompt, sample.evidence)
        tokenized = TokenizedText.of(
            prompt + sample.response,
            asked.followed_by(answer, len(prompt)),
            structure,
            num_prompt_tokens=len(asked.ids),
            decision_position=len(asked.ids) + decision.position - 1,
            thoughts=[(len(prompt) + first, len(prompt) + last) for first, last in sample.thoughts],
            label=(len(prompt) + sample.label_start, len(prompt) + sample.label_end),
            is_target=sample.target_response == sample.response,
        )
        flags = [*sample.flags, *placed, *flags, *self._beginning_flags(sample, asked), *decision.flags]
        if answer.char_ends[decision.position] <= sample.label_start:
            # The tokenizer joins the sign before the other label's word to it, and not this one's.
            flags.append("decision_beside_word")
        if self._prompt_differs(prompt, sample.recorded_prompt):
            flags.append("prompt_differs")
        if has_empty_period(sample.messages):
            flags.append("period_without_figures")
        if has_unread_figures(sample.messages):
            flags.append("unread_figures")
        header = unordered_header(sample.messages)
        if header is not None:
            flags += ["unordered_periods", f"unordered_periods{FLAG_NAMES}{header[:_LONGEST_HEADER]}"]
        if has_figure_without_sign(sample.messages):
            flags.append("figures_without_sign")
        if has_unread_table(sample.messages):
            flags.append("unread_table")
        encoded = self._encoded(sample.sample_id, tokenized, decision.contrast, _metadata(sample, flags))
        tokens = [LabelToken(t.label, len(asked.ids) + t.position - 1, t.token_id) for t in decision.labels]
        return replace(
            encoded,
            sequence_source=sample.sequence_source,
            label_tokens=tuple(tokens),
            contrast=decision.rule,
            companion=self._companion(sample, prompt, asked, structure),
        )

    def _companion(self, sample: Sample, prompt: str, asked: Tokens, structure: Structure) -> EncodedSample | None:
        """Return the prompt with the right one of several scored choices, where another one is said."""
        text = sample.target_response
        if text is None or text == sample.response:
            return None
        answer = tokenize(self.tokenizer, text)
        self._refuse_longer(len(asked.ids), len(answer.ids))
        tokenized = TokenizedText.of(
            prompt + text,
            asked.followed_by(answer, len(prompt)),
            structure,
            num_prompt_tokens=len(asked.ids),
            decision_position=len(asked.ids) - 1,
            label=(len(prompt), len(prompt) + len(text)),
            is_target=True,
        )
        return self._encoded(sample.sample_id, tokenized, (0, 0), {})

    def _prompt(self, sample: Sample) -> tuple[str, Tokens, list[str]]:
        """Return the prompt's text, tokens and flags: recorded ids, recorded text, or what the template makes."""
        if sample.prompt_ids is not None:
            return *recorded_tokens(self.tokenizer, sample.prompt_ids), []
        flags: tuple[str, ...] = ()
        if sample.prompt is not None:
            prompt = sample.prompt
            beginning = self._markup.beginning if self.template is not None else ""
            if not prompt.lstrip().startswith(beginning):
                prompt = beginning + prompt
        else:
            prompt, flags = self.chat_template.render(sample.messages, sample.template_fields, sample.dates)
        self._refuse_endless(prompt, sample.response)
        return prompt, prompt_tokens(self.tokenizer, prompt, adds_beginning=self.template is None), list(flags)

    def _beginning_flags(self, sample: Sample, asked: Tokens) -> list[str]:
        """Return flags for a prompt that begins twice, or whose recorded ids have no beginning."""
        markup, ids = self._markup, list(asked.ids[:2])
        if len(ids) == 2 and ids[0] == ids[1] and ids[0] in markup.begins:
            return ["beginning_repeated"]
        is_bare = sample.prompt_ids is not None and markup.adds_first in markup.begins and ids[0] != markup.adds_first
        return ["beginning_lacks"] if is_bare else []

    def _answer(self, sample: Sample, prompt: str) -> tuple[Sample, Tokens]:
        """Return the tokens of what the model wrote, and the sample with their text."""
        if sample.answer_ids is None:
            self._refuse_endless(prompt, sample.response)
            return sample, tokenize(self.tokenizer, sample.response)
        text, tokens = recorded_tokens(self.tokenizer, sample.answer_ids)
        if len(sample.response) >= len(text):
            return sample, tokens
        number = sum(start < len(sample.response) for start in tokens.char_starts)  # it was cut at the next turn
        kept = Tokens(tokens.ids[:number], tokens.char_starts[:number], tokens.char_ends[:number])
        return replace(sample, response=text[: max(kept.char_ends, default=0)]), kept

    def encode_text(self, sample_id: str, text: str) -> EncodedSample:
        """Return a text without any answer; its last row, which predicts the next token, is the decision row.

        Raises
        ------
        RowRejected
            When it is longer than the model's context, or has no token.
        """
        self._refuse_endless(text, "")
        tokens = prompt_tokens(self.tokenizer, text, adds_beginning=True)
        self._refuse_longer(len(tokens.ids))
        return self.encode_tokens(sample_id, text, tokens)

    def encode_tokens(self, sample_id: str, text: str, tokens: Tokens) -> EncodedSample:
        """Return a text whose tokens are known, as ``encode_text`` does.

        Raises
        ------
        RowRejected
            When it has no token.
        """
        num_tokens = len(tokens.ids)
        if not num_tokens:
            raise RowRejected("encode", "empty_prompt", "The text has no token.")
        tokenized = TokenizedText.of(
            text,
            tokens,
            structure_of(text, [Message("user", text)]),
            num_prompt_tokens=num_tokens,
            decision_position=num_tokens - 1,
        )
        return self._encoded(sample_id, tokenized, (0, 0), {})

    def _encoded(
        self, sample_id: str, tokenized: TokenizedText, contrast: tuple[int, int], metadata: dict[str, object]
    ) -> EncodedSample:
        """Return the record of a tokenised text with the positions of every group."""
        keys = self.groups.key_positions(tokenized)
        return EncodedSample(
            sample_id=sample_id,
            metadata=metadata,
            text=tokenized.text,
            input_ids=tokenized.input_ids,
            char_starts=tokenized.char_starts,
            char_ends=tokenized.char_ends,
            segments=tokenized.segments,
            num_prompt_tokens=tokenized.num_prompt_tokens,
            decision_position=tokenized.decision_position,
            contrast_token_ids=contrast,
            key_groups=keys,
            query_groups=self.groups.query_positions(keys, tokenized),
            spans=tokenized.spans,
            sentences=tokenized.sentences,
            unknown_groups=self.groups.unknown(tokenized),
        )

    def _prompt_differs(self, prompt: str, recorded: str | None) -> bool:
        """Whether the rendered prompt says something else than the recorded one, such as a system part of its own."""
        if recorded is None or self.template is None:
            return False
        rendered, recorded = (without_special_tokens(self.tokenizer, text) for text in (prompt, recorded))
        return rendered != recorded

    def _refuse_longer(self, num_prompt: int, num_answer: int | None = None) -> None:
        """Turn a text away that is longer than the model's context."""
        num_tokens = num_prompt + (num_answer or 0)
        if self.max_tokens is None or num_tokens <= self.max_tokens:
            return
        parts = "" if num_answer is None else f" (prompt {num_prompt}, answer {num_answer})"
        raise RowRejected(
            "encode",
            "longer_than_context",
            f"{num_tokens} tokens{parts} do not fit into the model's context of {self.max_tokens}; nothing is "
            f"truncated.",
        )

    def _refuse_endless(self, prompt: str, response: str) -> None:
        """Turn a text away by its first part when it is far beyond the context: megabytes take minutes to encode."""
        if self.max_tokens is None or len(prompt) + len(response) <= _LONG * self.max_tokens:
            return
        text = (prompt + response)[: _LONG * self.max_tokens]
        part = len(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        if part > self.max_tokens + _LONG:
            raise RowRejected(
                "encode",
                "longer_than_context",
                f"{len(prompt) + len(response):,} characters, of which the first {len(text):,} alone are {part} "
                f"tokens, do not fit into the model's context of {self.max_tokens}; nothing is truncated.",
            )


def _metadata(sample: Sample, flags: list[str]) -> dict[str, object]:
    """Return what the ``samples`` table repeats of a sample, with all flags and the fields of ``predictions.keep``."""
    repeated: dict[str, object] = {name: getattr(sample, name) for name in _REPEATED_FIELDS}
    return repeated | {"flags": flags} | {f"{KEPT_PREFIX}{name}": value for name, value in sample.kept.items()}
