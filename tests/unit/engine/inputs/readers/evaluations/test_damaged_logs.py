"""Logs that are cut, failed or mixed: every row is a sample or a reject, or a sentence says why the log is refused."""

import json

import pyarrow as pa
import pytest

from engine.errors import ConfigError, InputError
from engine.inputs.predictions import read_predictions
from engine.inputs.readers.record import Limits
from engine.inputs.records import read_records
from tests.fixtures.evaluation_logs import plain_row, write_arrow, write_log
from tests.fixtures.harness_logs import every_eval_row, helm_state, lm_eval_choice_row, lm_eval_row, write_helm
from tests.fixtures.inspect_logs import inspect_json, inspect_members, inspect_sample, zipped
from tests.fixtures.logged_cases import CASES, MODEL, chat, lines
from tests.fixtures.prediction_files import config
from tests.fixtures.service_logs import batch_request, batch_row, langfuse_row, promptfoo_json, promptfoo_row

FIRST = CASES[0]


def read(path, **sections):
    return read_predictions(config(path, **sections))


def rejected(found):
    return {reject.sample_id: reject.reason for reject in found.rejects}


def save(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.97, 0.999])
@pytest.mark.parametrize("name", ["inspect", "inspect-chunked", "inspect-json", "promptfoo", "helm"])
def test_a_log_that_was_cut_off_is_refused_in_a_sentence(tmp_path, name, keep):
    path, _ = write_log(name, tmp_path)
    file = path / "scenario_state.json" if path.is_dir() else path
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * keep)])
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(str(file)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["lm-eval", "every-eval-ever"])
def test_lines_that_were_cut_off_cost_one_row(tmp_path, name):
    path, more = write_log(name, tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    found = read(path, predictions=more)
    assert list(rejected(found).values()).count("unreadable_row") == 1
    assert len(found.samples) + len(found.rejects) == found.num_rows


@pytest.mark.parametrize("name", ["log.eval", "log.json"])
def test_an_archive_that_is_none(tmp_path, name):
    for content in (b"", b"PK\x03\x04 no archive", b'{"version": 2, "status": "error", "eval": {}}'):
        with pytest.raises(InputError) as caught:
            read(save(tmp_path, name, content))
        assert "\n" not in str(caught.value)


def test_a_damaged_member_costs_its_sample(tmp_path):
    content = zipped(inspect_members(map(inspect_sample, CASES)))
    place = content.index(b"samples/2_epoch_1.json") + 60
    damaged = content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]
    found = read(save(tmp_path, "log.eval", damaged))
    assert [reject.reason for reject in found.rejects] == ["unreadable_row"] and len(found.samples) == 5
    assert "is damaged" in found.rejects[0].detail


def test_members_that_deflate_compressed(tmp_path):
    content = zipped(inspect_members(map(inspect_sample, CASES)), is_zstd=False)
    assert len(read(save(tmp_path, "log.eval", content)).samples) == 6


def test_a_sample_that_is_too_large_is_not_read(tmp_path):
    samples = [inspect_sample(CASES[0], events=["x" * 50_000]), inspect_sample(CASES[1])]
    for name, content in (
        ("a.eval", zipped(inspect_members(samples))),
        ("b.json", inspect_json(samples)),
    ):
        found = list(read_records(str(save(tmp_path, name, content)), limits=Limits(row_bytes=9000, chunk_bytes=700)))
        assert [record.reason if record.problem else "" for record in found] == ["row_too_large", ""]


def test_samples_that_failed_or_ran_into_a_limit(tmp_path):
    samples = [
        inspect_sample(CASES[0], error={"message": "Connection lost", "traceback": "…"}),
        inspect_sample(CASES[1], limit={"type": "token", "limit": 10}),
        inspect_sample(CASES[2], messages=chat(CASES[2])[:1], output={"choices": [], "completion": ""}),
        inspect_sample(CASES[3]),
    ]
    found = read(save(tmp_path, "log.json", inspect_json(samples, status="error")))
    assert rejected(found) == {"0": "sample_error", "2": "no_response"}
    assert "Connection lost" in found.rejects[0].detail
    assert [sample.flags for sample in found.samples] == [("cut_answer", "unfinished_log"), ("unfinished_log",)]


def test_parts_of_messages(tmp_path):
    image = [{"type": "text", "text": "See"}, {"type": "image", "image": "data:image/png;base64,x"}]
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "1", "function": "get", "arguments": {"a": 1}}]}
    result = {"role": "tool", "content": "12", "tool_call_id": "1", "function": "get"}
    thought = [{"type": "reasoning", "reasoning": "Sales rose."}, {"type": "text", "text": CASES[2].answer}]
    hidden = [{"type": "reasoning", "reasoning": "gAAAA", "redacted": True}, {"type": "text", "text": CASES[3].answer}]
    user = chat(FIRST)[0]
    samples = [
        inspect_sample(CASES[0], messages=[{"role": "user", "content": image}, chat(FIRST)[1]]),
        inspect_sample(CASES[1], messages=[user, call]),
        inspect_sample(CASES[2], messages=[user, call, result, {"role": "assistant", "content": thought}]),
        inspect_sample(CASES[3], messages=[user, {"role": "assistant", "content": hidden}]),
    ]
    found = read(save(tmp_path, "log.json", inspect_json(samples)))
    assert rejected(found) == {"0": "not_replayed", "1": "not_replayed", "3": "not_replayed"}
    assert "redacted reasoning" in found.rejects[2].detail
    (sample,) = found.samples
    assert sample.reasoning == "Sales rose." and sample.response == CASES[2].answer
    (made,) = sample.messages[1].fields["tool_calls"]
    assert made["function"] == {"name": "get", "arguments": {"a": 1}} and sample.messages[2].fields["name"] == "get"


def test_epochs_are_samples_of_one_cluster(tmp_path):
    samples = [inspect_sample(case, epoch) for case in CASES[:2] for epoch in (1, 2)]
    content = zipped(inspect_members(samples, epochs=2))
    found = read(save(tmp_path, "log.eval", content))
    assert [(s.sample_id, s.cluster) for s in found.samples] == [
        ("0_epoch_1", "0"), ("0_epoch_2", "0"), ("1_epoch_1", "1"), ("1_epoch_2", "1"),
    ]  # fmt: skip


def test_several_scorers_are_chosen_by_the_config_and_else_the_first(tmp_path):
    scores = {"f1": {"value": 0.0}, "my.judge": {"value": {"fair": "I", "right": "C"}}}
    path = save(tmp_path, "log.json", inspect_json([inspect_sample(FIRST, scores=scores)]))
    (sample,) = read(path).samples
    assert (sample.is_correct, sample.flags) == (False, ("first_of_scores", "correctness_disagrees"))
    named = {"fields": {"correct": 'scores["my.judge"].value.right'}}
    (sample,) = read(path, predictions=named).samples
    assert (sample.is_correct, sample.flags) == (True, ())


def test_one_filter_counts_and_the_config_names_it(tmp_path):
    kinds = ("strict-match", "flexible-extract")
    rows = [lm_eval_row(case, kind, exact_match=float(kind == kinds[1])) for case in CASES for kind in kinds]
    path = save(tmp_path, "samples_eps_2026-01-21T03-44-18.458309.jsonl", lines(rows))
    found = read(path)
    assert not any(sample.is_correct for sample in found.samples) and len(found.samples) == 6
    assert "predictions.filter: {filter: 'flexible-extract'}" in found.rejects[0].detail
    found = read(path, predictions={"filter": {"filter": "flexible-extract"}})
    assert all(sample.is_correct for sample in found.samples) and len(found.samples) == 6


def test_repeats_are_samples_whose_common_score_is_nobodys(tmp_path):
    row = lm_eval_row(FIRST, resps=[["Answer: increase.", "Answer: decrease."]], filtered_resps=["increase"])
    found = read(save(tmp_path, "samples_eps.jsonl", lines([row])))
    assert [(s.sample_id, s.cluster, s.predicted_label, s.is_correct) for s in found.samples] == [
        ("0-1", "0", "increase", True),
        ("0-2", "0", "decrease", False),
    ]
    assert all("score_of_several" in sample.flags for sample in found.samples)


def test_rows_that_score_texts(tmp_path):
    alone = {"gen_args_0": {"arg_0": "The answer is", "arg_1": " increase"}}
    rows = [
        lm_eval_choice_row(FIRST, arguments=alone, resps=[[["-0.5", "True"]]], target=" increase"),
        lm_eval_choice_row(CASES[1], arguments=alone, resps=[[["-5.5", "False"]]]),
        lm_eval_choice_row(CASES[2], resps=[[["-1", "True"]], []]),
        # Scores without the question stand behind the others.
        lm_eval_choice_row(
            CASES[3],
            arguments={
                f"gen_args_{place}": {"arg_0": context, "arg_1": f" {choice}"}
                for place, (context, choice) in enumerate(
                    [("Q", "increase"), ("Q", "decrease"), ("", "increase"), ("", "decrease")]
                )
            },
            resps=[[[score, "False"]] for score in ("-2", "-1", "-0.1", "-9")],
            metrics=["acc"],
        ),
        # Length-normalised: the longer answer wins where the first metric says so.
        lm_eval_choice_row(
            CASES[4],
            choices=("increase", "decrease"),
            arguments={
                "gen_args_0": {"arg_0": "Q", "arg_1": " increase by very much indeed"},
                "gen_args_1": {"arg_0": "Q", "arg_1": " decrease"},
            },
            resps=[[["-6", "False"]], [["-5", "False"]]],
            metrics=["acc_norm"],
        ),
    ]
    found = read(save(tmp_path, "samples_eps.jsonl", lines(rows)))
    assert rejected(found) == {"1": "no_response", "2": "not_text"}
    assert {s.sample_id: s.response.strip() for s in found.samples} == {
        "0": "increase", "3": "decrease", "4": "increase by very much indeed",
    }  # fmt: skip


def test_half_a_batch(tmp_path):
    failed = {"status_code": 429, "body": {"error": {"message": "Rate limit reached"}}}
    empty = {"status_code": 200, "body": {"model": MODEL, "choices": []}}
    rows = [
        batch_row(CASES[0]),
        batch_row(CASES[1], response=failed),
        batch_row(CASES[2], response=None, error={"code": "batch_expired", "message": "Not in time"}),
        batch_row(CASES[3], response=empty),
        batch_row(CASES[4]),
    ]
    requests = save(tmp_path, "requests.jsonl", lines(map(batch_request, CASES[:4])))
    join = [{"path": str(requests), "on": "custom_id", "fields": {"messages": "body.messages"}}]
    found = read(save(tmp_path, "out.jsonl", lines(rows)), predictions={"join": join})
    assert rejected(found) == {
        "request-1": "failed_request",
        "request-2": "failed_request",
        "request-3": "no_response",
        "request-4": "no_partner",
    }
    assert "Rate limit" in found.rejects[0].detail and len(found.samples) == 1


def test_batches_of_anthropic_and_of_plain_completions(tmp_path):
    message = {"role": "assistant", "content": [{"type": "text", "text": FIRST.answer}], "model": MODEL}
    rows = [
        {"custom_id": "a", "result": {"type": "succeeded", "message": message}},
        {"custom_id": "b", "result": {"type": "errored", "error": {"error": {"message": "overloaded"}}}},
        {"custom_id": "c", "result": {"type": "expired"}},
    ]
    asked = [{"custom_id": name, "params": {"messages": chat(FIRST)[:1]}} for name in "abc"]
    requests = save(tmp_path, "in.jsonl", lines(asked))
    join = [{"path": str(requests), "on": "custom_id", "fields": {"messages": "params.messages"}}]
    found = read(save(tmp_path, "out.jsonl", lines(rows)), predictions={"join": join})
    assert rejected(found) == {"b": "failed_request", "c": "failed_request"} and len(found.samples) == 1
    body = {"model": MODEL, "choices": [{"text": FIRST.answer, "finish_reason": "stop"}]}
    rows = [batch_row(FIRST, response={"status_code": 200, "body": body})]
    requests = save(tmp_path, "in.jsonl", lines([{"custom_id": "request-0", "body": {"prompt": "Q: why?\nA:"}}]))
    join = [{"path": str(requests), "on": "custom_id", "fields": {"prompt": "body.prompt"}}]
    (sample,) = read(save(tmp_path, "out.jsonl", lines(rows)), predictions={"join": join}).samples
    assert (sample.prompt, sample.sequence_source) == ("Q: why?\nA:", "rendered")


@pytest.mark.parametrize(
    ("join", "words"),
    [
        ({"path": "labels.jsonl", "on": "nothing"}, "no row of .* has a field 'nothing'; its rows have key, label"),
        ({"path": "labels.jsonl", "on": {"id": "key"}, "fields": ["gold"]}, "has a field 'gold'"),
        ({"path": "twice.jsonl", "on": {"id": "key"}}, "several rows of .* have the 'key' 'F0'"),
    ],
)
def test_joins_that_cannot_be_made(tmp_path, monkeypatch, join, words):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, "labels.jsonl", lines([{"key": "F0", "label": "increase"}]))
    save(tmp_path, "twice.jsonl", lines([{"key": "F0", "label": label} for label in ("increase", "decrease")]))
    path = save(tmp_path, "rows.jsonl", lines(map(plain_row, CASES)))
    with pytest.raises(ConfigError, match=words) as caught:
        read(path, predictions={"join": [join]}, prompt={"source": "fields"})
    assert "predictions.join[0]" in str(caught.value) and "\n" not in str(caught.value)


def test_models_are_not_mixed(tmp_path):
    rows = [every_eval_row(case, model_id="a/a" if case.number % 2 else "b/b") for case in CASES]
    path = save(tmp_path, "x_samples.jsonl", lines(rows))
    found = read(path)
    assert [s.sample_id for s in found.samples] == ["eps_0", "eps_2", "eps_4"]
    assert "predictions.filter: {model_id: 'a/a'}" in found.rejects[0].detail
    assert len(read(path, predictions={"filter": {"model_id": "a/a"}}).samples) == 3


def test_a_folder_of_results_and_samples(tmp_path):
    for task in ("eps", "sales"):
        rows = lines(map(lm_eval_row, CASES[:2]))
        save(tmp_path, f"samples_{task}_2026-01-21T03-44-18.458309.jsonl", rows)
    save(tmp_path, "results_2026-01-21T03-44-18.458309.json", '{"results": {}}')
    assert [s.sample_id for s in read(tmp_path).samples] == ["eps-0", "eps-1", "sales-0", "sales-1"]


def test_answers_of_every_eval_ever_that_a_filter_left(tmp_path):
    of_lm_eval = {"lm_eval_metrics": "{}", "filter": "strict-match"}
    row = every_eval_row(FIRST, metadata=of_lm_eval, output={"raw": ["increase"]})
    choices = {"raw": "Q:\nA:", "reference": ["increase"], "choices": ["increase", "decrease"]}
    chosen = every_eval_row(
        CASES[1], metadata={**of_lm_eval, "filter": "none"}, input=choices, output={"raw": ["increase"]}
    )
    failed = every_eval_row(CASES[2], error="timeout")
    turns = [
        {"turn_idx": 0, **chat(CASES[3])[0]},
        {"turn_idx": 1, "role": "assistant", "content": CASES[3].answer},
    ]
    talked = every_eval_row(CASES[3], interaction_type="multi_turn", output=None, messages=turns)
    found = read(save(tmp_path, "x_samples.jsonl", lines([row, chosen, failed, talked])))
    assert rejected(found) == {"eps_0": "not_replayed", "eps_2": "sample_error"}
    assert [(s.sample_id, s.response) for s in found.samples] == [("eps_1", " increase"), ("eps_3", CASES[3].answer)]


def test_helm_choices_failures_and_perturbations(tmp_path):
    mapping = {"A": "increase", "B": "decrease"}
    told = {"success": True, "completions": [{"text": " B"}]}
    states = [
        helm_state(CASES[0], output_mapping=mapping, result=told),
        helm_state(CASES[1], result={"success": False, "error": "timeout", "completions": []}),
        helm_state(CASES[2], reference_index=0),
        helm_state(CASES[3], train_trial_index=1),
    ]
    found = read(write_helm(tmp_path / "run", states))
    assert rejected(found) == {"id1": "failed_request", "id2": "no_response"}
    first, second = found.samples
    assert (first.predicted_label, first.actual_label, first.response) == ("B", "A", " B")
    assert (second.sample_id, second.cluster, second.is_correct) == ("id3-trial1", "id3", False)


def test_promptfoo_errors_and_outputs_that_are_objects(tmp_path):
    rows = [
        promptfoo_row(CASES[0], error="API error", response={"error": "API error"}, failureReason=2),
        promptfoo_row(CASES[1], response={"output": {"label": "increase"}}),
        promptfoo_row(CASES[2], prompt={"raw": json.dumps(chat(CASES[2])[:1])}),
    ]
    for name, content in (("r.json", promptfoo_json(rows)), ("r.jsonl", lines(rows))):
        found = read(save(tmp_path, name, content))
        assert rejected(found) == {"result-0": "sample_error", "result-1": "not_text"}
        assert found.samples[0].messages[-1].content == CASES[2].question


def test_observations_that_are_no_generation(tmp_path):
    rows = [
        langfuse_row(CASES[0], type="SPAN"),
        langfuse_row(CASES[1], level="ERROR", status_message="timeout"),
        langfuse_row(CASES[2], input={"messages": chat(CASES[2])[:1]}, output=CASES[2].answer),
        langfuse_row(CASES[3], input=CASES[3].question, output={"content": CASES[3].answer}),
    ]
    found = read(save(tmp_path, "o.jsonl", lines(rows)))
    assert rejected(found) == {"obs-0": "no_generation", "obs-1": "sample_error"}
    assert [s.response for s in found.samples] == [case.answer for case in CASES[2:4]]


def test_saved_datasets(tmp_path):
    rows = list(map(plain_row, CASES))
    prompt = {"source": "fields"}
    write_arrow(tmp_path / "many" / "train", rows[:3])
    write_arrow(tmp_path / "many" / "test", rows[3:])
    (tmp_path / "many" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InputError, match=r"2 splits .many/train, many/test.; .* Name one of them"):
        read(tmp_path / "many", prompt=prompt)
    assert len(read(tmp_path / "many" / "test", prompt=prompt).samples) == 3
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(tmp_path / "t.feather"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert len(read(tmp_path / "t.feather", prompt=prompt).samples) == 6
    file = tmp_path / "many" / "test" / "data-00000-of-00002.arrow"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match="is not a readable Arrow table"):
        read(tmp_path / "many" / "test", prompt=prompt)
    file.unlink()
    with pytest.raises(InputError, match=r"lacks data-00000-of-00002\.arrow"):
        read(tmp_path / "many" / "test", prompt=prompt)
