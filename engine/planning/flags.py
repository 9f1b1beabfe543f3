"""What a plan says of each flag: what is special about the samples that carry it."""

from __future__ import annotations

CAVEATS_OF_FLAGS = {
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
    "padding_left_out": "the recorded token ids were padded, or the answer's text goes on behind its end token with "
    "further ones, padding or a line end, which the model never saw: they are left out",
    "foreign_end_token": "the answer ends with a token that ends turns in another model's template, which is plain "
    "text to this tokenizer, and is measured so. Take it off if the model did not write these signs",
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
    "first_score_lacks": "the row has another score than the one that says what is right in the first row of its file, "
    "which it lacks: whether it is right is not known. Name the score that counts by its path in "
    "predictions.fields.correct",
    "first_of_joined_scores": "the rows were joined with scores of several names, of which those of the first name say "
    "what is right. Choose one in predictions.join[].filter, such as {name: judge}",
    "several_accepted": "the true answer's field holds several answers: they are taken to be right alike, and "
    "actual_label is the said one or else the first. If an answer needs all of them, say in a field of its own whether "
    "it is right (predictions.fields.correct)",
    "year_from_text": "the year's field holds more than a year (a date, a quarter, a fiscal year): samples.year is the "
    "one year that it names",
    "unread_year": "the year's field names no year, or several: samples.year is null, and nothing is held fixed or "
    "told apart by it for these rows. Write a year as a number",
    "choices_not_shown": "none of the row's choices stands in what is measured as the model's prompt, so that it "
    "probably saw more. Name the field that holds the prompt with its choices in predictions.fields.prompt, or join "
    "such prompts (predictions.join)",
    "input_as_json": "the log holds the model's input as an object without messages or a prompt, written as JSON, "
    "which is measured as it stands. If a program made the model's prompt of it, join these prompts (predictions.join)",
    "part_of_input": "the log holds the model's input as an object, of which the prompt alone is measured: other texts "
    "beside it (a system text, documents) are left out. If the model was given them, join the whole prompts "
    "(predictions.join)",
    "part_of_output": "the log holds the model's output as an object, of which the answer alone is measured. If the "
    "model wrote the object as JSON, it wrote more: set predictions.fields.response to output",
    "trace_score_unassigned": "a score names a trace alone, in which several generations answer: it counts for none of "
    "them. If one kind of them is scored, keep it with predictions.filter, such as {name: answer}; where the scores "
    "stand in the observations' own file, set predictions.fields.correct to the score's path as well, such as "
    "trace_scores.judge.value",
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
