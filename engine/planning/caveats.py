"""What a person should know of a plan before the run starts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from engine.config import Config
from engine.config.causes.method import ALL_ROWS
from engine.encoding.random_vocabulary import mean_overlap
from engine.inputs.answers.heard import SHORT
from engine.inputs.answers.languages import languages
from engine.inputs.files import ignored_files
from engine.inputs.label_values import counted, mapping_line
from engine.inputs.predictions import Scan
from engine.planning.tally import FREE
from engine.samples import FLAG_NAMES
from engine.schema import FEWEST_SENTENCES, MOST_SENTENCES, SENTENCES_APART
from engine.storage.plan_records import Plan

_ICONV = re.compile(r"iconv -f (\S+)")
_OF_FLAGS = {
    "prompt_differs": "the chat template makes another prompt of the recorded parts than the transcript says, such as "
    "a system part of its own: the model did not see exactly this prompt",
    "reasoning_left_out": "a thought was recorded in a field of its own and is left out, since the chat template has "
    "no place for it: the model wrote its answer behind a thought that is not measured. Give a template that prints "
    "reasoning_content, or the whole text that the model wrote as the answer",
    "thought_layout_assumed": "a thought was recorded in a field of its own; the prompt opens it, and what stands "
    "between thought and answer is assumed",
    "thought_not_recorded": "the chat template begins answers with a thought, and the record has none: it was not "
    "recorded, or the model was asked not to think (prompt.template_kwargs: {enable_thinking: false})",
    "channels_restored": "the answer lost the special tokens of its channels; they stand where the chat template "
    "writes them",
    "answer_mark_restored": "the chat template begins answers with special tokens that the answer was recorded without "
    "(such as <|START_RESPONSE|>): they are put in front of it",
    "escaped_text": 'prompt or answer hold signs of a string inside another one (\\n for a line end, \\", &amp;), '
    "measured "
    "as they stand: where the file was escaped twice, the model neither saw nor wrote them. Read the texts back before "
    "they are written (json.loads, html.unescape)",
    "tokens_stripped": "the prompt is what the chat template makes of a conversation, without its special tokens, and "
    "stands inside a turn of the template: the model did not see it so. Record prompts with their special tokens, or "
    "the user's text alone",
    "channels_lost": "the answer lost the special tokens of its channels, and is measured without",
    "prompt_in_answer": "the answer was recorded with its prompt in front, which is taken off",
    "system_left_out": "the prompt was recorded as it was rendered, and does not hold the system part that the record "
    "or prompt.system names",
    "no_generation_prompt": "the prompt was recorded as it was rendered, as text or ids, and does not end where the "
    "chat template begins an answer",
    "prompt_end_restored": "the rendered prompt was recorded without the line end or blanks that the chat template "
    "ends with, and the answer does not begin with them either: they are put back",
    "beginning_repeated": "the prompt begins with the token that begins texts twice or more, as text or ids, and is "
    "measured so. If the model saw it once, record the prompt without it",
    "beginning_lacks": "the prompt's token ids lack the token that the tokenizer or the chat template puts in front",
    "preamble_repeated": "the system part holds a line that the chat template writes itself, which stands there twice: "
    "it was taken from a rendered prompt. Record the system part alone, or the whole rendered prompt",
    "system_untold": "the transcript lost its special tokens, and this chat template writes nothing else between a "
    "system part and the user's text: if there was one, it stands in the user's turn. Keep the special tokens",
    "messages_joined": "several messages are joined without anything between them, since prompt.chat_template is none",
    "chat_markup_inside": "a message holds special tokens or marks of turns of this chat template, which the model "
    "reads as such",
    "foreign_chat_markup": "the prompt begins with the marks of another model's chat template, which are plain text "
    "to this tokenizer",
    "correctness_disagrees": "what the record says of the answer (predictions.fields.correct) is not what its labels "
    "say: is_correct is the record's word",
    "unread_correctness": "what the record says of the answer (predictions.fields.correct) is neither true nor false, "
    "C nor I, 0 nor 1: is_correct is null. Where it is a number, set decision.threshold to the least one that is right",
    "labels_share_token": "labels begin with the same token as the said one or as each other: each is compared with "
    "the said label at the token where the two part (label_logprobs), at a row behind the decision row where that "
    "comes later. Statistics of attention are of the decision row, the earliest at which any label parts",
    "pair_parts_later": "the answer says a third label, which parts from both sides of decision.contrast before these "
    "part from each other: at that row both have one token, so that there is no margin (null) and no cause. Set "
    "decision.contrast=said_vs_best_other",
    "label_not_parted": "a label's tokens cannot be told from those of the said one: it is compared with nothing",
    "repeated_keys": "an object of the row holds a key several times, and only the last value counts: whoever wrote "
    "the file may have meant another one",
    "plain_layout_inside": "the prompt has a layout of its own (### Instruction: … ### Response:, Human: … Assistant:, "
    "Q: … A:) and stands inside the chat template's turn. If the model was given it as it stands, set "
    "prompt.chat_template=none",
    "plain_roles": "the transcript names its roles in plain text (Human: … Assistant: …) and is replayed word for "
    "word, without the chat template; the answer is taken to begin behind the colon and the line ends there. If the "
    "model was given the text through the template, record question and answer apart (prompt.source=fields or "
    "messages)",
    "tool_calls_left_out": "the answer has tool calls beside its text, which are left out",
    "answers_joined": "the conversation ends with several messages of the assistant's: they are joined to one answer, "
    "the beginning that the model was given with it",
    "partial_token_ids": "only the prompt's or only the answer's token ids are recorded; the other part is tokenised",
    "more_in_token_ids": "the recorded ids hold text that the record does not show, and that the chat template, as it "
    "is set here, does not put around it: a system part, another template or other settings of it. The ids are "
    "measured as they are",
    "token_ids_not_compared": "the chat template, as it is set here, refuses the recorded messages, so that their text "
    "cannot be compared with the prompt's token ids beyond what the ids hold of each message. The ids are measured as "
    "they are",
    "system_placed": "a system text in a field beside the messages or the prompt (system_prompt, instructions, "
    "system_instruction and the like) is put in front as the system turn. If the model was not given it, leave the "
    "field out, or set prompt.system",
    "token_ids_unnamed": "the record holds lists of token ids in fields whose names are not asked for, and what is "
    "measured was tokenised anew. Name them in predictions.fields.prompt_token_ids and predictions.fields.token_ids",
    "parts_joined": "a message's content, or its thought, comes in several texts, which are joined without anything "
    "between them; servers differ in what they put there (vLLM: a line end). Write the content as the one text that "
    "the model saw",
    "turn_ends_lack": "a rendered prompt lacks a token by which the template ends a turn (<|end|>, </s>): it is "
    "measured as it stands, and the model probably saw the token. Keep special tokens when prompts are written down",
    "windows_line_ends": "a prompt or an answer holds Windows line ends (\\r\\n), which are measured as they stand. If "
    "the file's writer made them, write the texts with \\n alone",
    "template_kwargs_unread": "the record holds settings of a chat template that this one never reads, so that they "
    "change nothing here: the model may have been given another template's prompt",
    "padding_left_out": "the recorded token ids were padded; the padding is left out",
    "answer_in_prompt": "the prompt's token ids were recorded with the answer behind them, which is measured once",
    "content_left_out": "the chat template leaves out a message's text",
    "tools_left_out": "the chat template leaves out the tools that the record names",
    "cut_at_next_turn": "the model goes on to write the next turn; what stands from there on is left out of label and "
    "measurement",
    "period_without_figures": "a period heads a column of a statement in which no figure was read: its key group holds "
    "the header alone. Print figures under their periods, a cell each",
    "unread_figures": "a cell of a statement under a period holds digits and is no figure that is read, or a figure "
    "has no header above it: it is missing from the key groups of periods. Print a number alone in each cell, under a "
    "header",
    "unordered_periods": "a table of a statement has figures under a header that may name a period and is not "
    "understood (Actual, Forecast, a word of another language), so that it is not known which period is the newest: "
    "the table is in no group of current, prior or earlier periods. Name periods by year or date",
    "figures_without_sign": "a figure of a statement is marked CR or DR, which tells no sign without the account: it "
    "counts by its size alone. Print a minus or brackets",
    "first_of_scores": "the log holds several scores, of which the first says what is right. Name another by its "
    "path in predictions.fields.correct; engine.init lists them",
    "first_of_joined_scores": "the rows were joined with scores of several names, of which those of the first name say "
    "what is right. Choose one in predictions.join[].filter, such as {name: judge}",
    "asked_label": "the answer says yes to a question of its own: the label is the one that it asked for, and stands "
    "in the question, so that the decision is measured there and not at the yes",
    "documents_left_out": "the record holds documents, and the chat template has no place for them: the model may have "
    "seen them",
    "media_beside": "the record holds images, audio or files beside its text, and no text says where they stand: if "
    "the model was given them, it saw more than is measured",
    "other_branches": "the conversation has branches that were replaced (asked or answered again): the one that was "
    "shown last is measured",
    "score_of_several": "the log scores several answers to one question together: is_correct goes by the labels alone, "
    "and is null where there are none. If a field says it of each answer, name that in predictions.fields.correct",
    "scored_choice": "the model wrote no answer: of several that were scored as continuations the one with the highest "
    "score is taken for what it said",
    "template_unrecorded": "the log does not say whether the model was given the prompt inside a chat template: it is "
    "put into the model's own, if it has one. If the model was given it as it stands, set prompt.chat_template=none",
    "unfinished_log": "the evaluation that wrote the log did not end as it should (failed, cancelled or still "
    "running): samples may be missing",
    "no_evidence": "the record names no gold passage (predictions.fields.evidence): statistics of evidence are null",
    "evidence_repeated": "a gold passage stands in the prompt several times: all of its places are evidence. Give "
    "pairs of characters to tell them apart",
    "evidence_cuts_words": "a gold passage begins or ends inside a word: pairs may count bytes, tokens or the "
    "characters of another text than the prompt as it was recorded",
    "unread_table": "the user's message holds figures that look like a table in CSV, JSON, LaTeX, MediaWiki, lines of "
    "names and values, or columns set with blanks, which is not read: they are in no key group of statements. Print "
    "tables with pipes or tabs, or as HTML",
}
"""What a flag says of a sequence or of its statements."""
_SHOWN_NAMES = 5
"""Headers, and the like, that a warning names at most."""
_MAX_OVERLAP = 0.5
"""Share of words that random vocabularies may have in common before the plan warns."""


def plan_warnings(config: Config, plan: Plan, scan: Scan | None = None) -> list[str]:
    """Return sentences about what the samples cannot show, though they can be measured.

    Parameters
    ----------
    config, plan
        The run's config, and what was planned.
    scan
        What was read of the predictions' files.
    """
    of_rows = list(_of_rows(scan)) if scan else []
    if not plan.num_samples:
        return [f"None of {plan.num_rows} rows can be measured yet.", *of_rows]
    return [
        *_of_labels(config, plan),
        *_of_circuit(config, plan),
        *_of_values(config, plan),
        *_of_languages(config, plan),
        *_of_texts(plan),
        *_of_reading(config, plan),
        *_of_presets(config),
        *_of_files(config),
        *of_rows,
    ]


def _of_rows(scan: Scan) -> Iterator[str]:
    """Yield what other programs did to the rows."""
    for program, ids in scan.cut_cells.items():
        yield (
            f"{len(ids)} row(s), such as {', '.join(ids[:3])}, hold a text just as long as a cell of {program} may be: "
            f"it was probably cut off there, prompt or answer with it. Write the rows from the program that made them "
            f"as JSON Lines or Parquet."
        )
    misread = [reject for reject in scan.rejects if " is not UTF-8 text: " in reject.detail]
    if misread:
        ids = ", ".join(reject.sample_id for reject in misread[:3])
        named = Counter(_ICONV.findall(" ".join(reject.detail for reject in misread))).most_common(1)
        encoding = named[0][0] if named else "WINDOWS-1252"
        yield (
            f"{len(misread)} row(s), such as {ids}, are no UTF-8 text and were left out. If the file is in {encoding}, "
            f"as it looks, convert it: iconv -f {encoding} -t UTF-8, or save it as CSV UTF-8 in the spreadsheet."
        )


def _of_circuit(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what a circuit will take, and which samples have none."""
    circuit, model = config.causal.circuit, plan.model
    if circuit is None:
        return
    if model.num_layers is not None and model.num_heads is not None:
        sizes = {"num_layers": model.num_layers, "num_heads": model.num_heads}
        own = circuit.forwards(**sizes, num_groups=len(plan.key_groups) - len(plan.random_vocabularies))
        before = ""
        if circuit.num_ablated:
            heads = (model.num_layers - len(model.headless_layers)) * model.num_heads
            number = f"{heads * ALL_ROWS:.0f}"
            before = f", after an ablation of each of {heads:,} heads (about {number} more; {{top: k}} is far cheaper)"
        yield (
            f"causal.circuit linearises up to {circuit.most_edges:,} edge(s) between {circuit.num_heads} head(s) and "
            f"to the logits in {circuit.steps} run(s) with gradients, verifies up to {circuit.verified:,} of them and "
            f"as many from key groups, and runs circuits of growing size: about {own:.0f} forwards a sample on "
            f"average{before}."
        )
    if circuit.selection == 1:
        yield (
            "causal.circuit.selection is 1: heads and edges are chosen and verified on the same samples, so that "
            "effects of the chosen ones look larger than they are."
        )
    else:
        yield (
            f"causal.circuit chooses heads and edges on {100 * circuit.selection:.0f} % of the clusters and verifies "
            "them on the samples of the others alone; where all samples are of one cluster, on the same."
        )
    if circuit.replace == "matched":
        yield "causal.circuit.replace is matched: only wrong predictions with a matching right one have edges."


def _of_labels(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what cannot be compared for want of a second kind of sample."""
    correct = set(plan.samples_by_is_correct) - {"None"}
    if len(correct) == 1:
        word = "right" if correct == {"True"} else "wrong"
        yield f"All {plan.num_samples} predictions are {word}: correct and incorrect cannot be compared."
    elif not correct and config.predictions.fields.correct is None:
        yield "No row has a known actual label: correct and incorrect cannot be compared."
    elif not correct:
        name = config.predictions.fields.correct
        yield f"No row says in {name!r} whether it is right: correct and incorrect cannot be compared."
    pair = config.decision.pair
    third = [label for label in config.decision.labels if pair and label not in pair]
    if pair and third and config.predictions.fields.choices is None:
        first, second = pair
        yield (
            f"decision.labels names {len(config.decision.labels)} labels: logit_difference and all causal numbers "
            f"compare {first!r} with {second!r} alone, in samples that say {' or '.join(map(repr, third))} too. Choose "
            f"the pair with decision.contrast, or set it to said_vs_best_other."
        )
    unknown = plan.samples_by_actual_label.get("None", 0)
    if config.decision.contrast == "said_vs_actual" and unknown:
        yield (
            f"decision.contrast is said_vs_actual, and the actual label of {unknown} sample(s) is not known: they are "
            f"compared with the likeliest other label, as right answers are."
        )
    for samples_by, verb in (
        (plan.samples_by_predicted_label, "predict"),
        (plan.samples_by_actual_label, "turned out"),
    ):
        labels = set(samples_by) - {FREE}
        if len(labels) == 1 and "None" not in labels:
            yield f"All {plan.num_samples} rows {verb} {labels.pop()!r}: this label cannot be told from correctness."


def _of_values(config: Config, plan: Plan) -> Iterator[str]:
    """Yield the values of label fields that no label is spelled like, and the line that would map them."""
    fields = config.predictions.fields
    effects = {
        fields.target or fields.actual: "there is_correct is null"
        if fields.correct is None
        else "there actual_label is null",
        fields.predicted: "there the label is read from the value's words or from the answer",
    }
    for name, values in plan.label_values.items():
        if values["unknown"]:
            yield (
                f"{values['num_unknown']:,} row(s) hold a {name} that no label is spelled like "
                f"({counted(values['unknown'], 5)}): {effects[name]}. To map values, put each in its place in this "
                f"line of the config: {mapping_line(config.decision.labels)}"
            )


def _of_languages(config: Config, plan: Plan) -> Iterator[str]:
    """Yield how many answers are read without knowing how their language denies."""
    if config.decision.negations is not None:
        return
    names = {language.name for language in languages().values() if not language.is_partial}
    partial = [language.name for language in languages().values() if language.is_partial]
    half = {
        name: count
        for name, count in plan.answers_by_language.items()
        if name not in names and all(one in partial for one in name.split(" or "))
    }
    if half:
        shown = ", ".join(f"{name} {count:,}" for name, count in half.items())
        yield (
            f"{sum(half.values()):,} answer(s) are in a language of which only cues of answers and the plainest "
            f"denials are known ({shown}): a label in prose, without a cue such as 'Answer:', may be read as said "
            f"where it is denied or doubted. Name such words in decision.negations (docs/input.md, Languages)."
        )
    unread = {name: count for name, count in plan.answers_by_language.items() if name not in (*names, *half, SHORT)}
    if unread:
        shown = ", ".join(f"{name} {count:,}" for name, count in unread.items())
        yield (
            f"{sum(unread.values()):,} answer(s) are in a language whose denials are not known, or cannot be told "
            f"({shown}): a label that they deny in their own words is read as said. Name such words in "
            f"decision.negations (docs/input.md, Languages)."
        )


def _of_texts(plan: Plan) -> Iterator[str]:
    """Yield what key groups, random vocabularies and chat template make of the texts."""
    if plan.empty_key_groups:
        yield f"No sample has a token of the key group(s) {', '.join(plan.empty_key_groups)}."
    shared = mean_overlap(list(plan.random_vocabularies.values()))
    if shared > _MAX_OVERLAP:
        yield (
            f"The {len(plan.random_vocabularies)} random vocabularies share {shared:.0%} of their words: the "
            f"texts hold too few other words, so that the null of head types has too little spread."
        )
    for flag, caveat in _OF_FLAGS.items():
        number = plan.samples_by_flag.get(flag, 0)
        if number:
            of_what = [
                name.partition(FLAG_NAMES)[2] for name in plan.samples_by_flag if name.startswith(flag + FLAG_NAMES)
            ]
            shown = ": " + ", ".join(map(repr, of_what[:_SHOWN_NAMES])) if of_what else ""
            yield f"In {number} sample(s) {caveat} (flag {flag}{shown})."


def _of_reading(config: Config, plan: Plan) -> Iterator[str]:
    """Yield what reading and receiving have no rows of."""
    if plan.num_samples_without_answer:
        yield (
            f"{plan.num_samples_without_answer} of {plan.num_samples} sample(s) have no answer beside a thought: they "
            f"have no rows in reading_focus (statistics.reading_focus)."
        )
    received = config.statistics.received
    if received is None or not plan.num_samples_without_sentences:
        return
    other = "prompt" if received.sentences == "thinking" else "thinking"
    fewest = SENTENCES_APART + FEWEST_SENTENCES
    yield (
        f"{plan.num_samples_without_sentences} of {plan.num_samples} sample(s) have fewer than {fewest} sentences in "
        f"the {received.sentences}, or more than {MOST_SENTENCES:,}: their heads have no receiver_kurtosis. "
        f"statistics.received.sentences may be {other} instead, or null for none."
    )


def _of_presets(config: Config) -> Iterator[str]:
    """Yield which probes cannot be made of what the run measures."""
    choices = config.analysis.predicted
    if choices is None or not choices.presets:
        return
    if "received" in choices.presets and config.statistics.received is None:
        yield "analysis.decodability.presets names received, which needs statistics.received: that probe is not made."
    measured = config.statistics.query_groups
    missing = [name for name in choices.preset_query_groups if name not in measured]
    if missing and set(choices.presets) != {"received"}:
        is_early = bool({"prompt", "thinking"} & set(measured) & set(choices.preset_query_groups))
        yield (
            f"analysis.decodability.preset_query_groups names {', '.join(missing)}, which statistics.query_groups does "
            f"not ({', '.join(measured)}): their probes are not made."
            + ("" if is_early else " Whether heads can tell before the answer is written is not tested.")
        )


def _of_files(config: Config) -> Iterator[str]:
    ignored = ignored_files(config.predictions.path)
    if ignored:
        shown = ", ".join(file.name for file in ignored[:5])
        yield f"{len(ignored)} file(s) of {config.predictions.path} have no known suffix and were not read: {shown}."
