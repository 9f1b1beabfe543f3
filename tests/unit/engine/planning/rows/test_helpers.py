"""Processes that help to plan: the same plan with any number of them, errors as they are, deaths that lose nothing."""

import json
import os
import re
import signal
from dataclasses import replace

import psutil
import pytest

from engine.config.files import load_config
from engine.encoded_samples import EncodedSample
from engine.encoding.encoded_files import _listed, _row
from engine.errors import ConfigError, InputError, LocaleError, RunFailedError
from engine.inputs.predictions import chosen_records, scan_predictions
from engine.inputs.rows.configured import config_records
from engine.machine.nodes import num_cpus
from engine.planning.rows import helpers as module
from engine.planning.rows.helper_messages import Failure, packed, unpacked
from engine.planning.rows.helpers import FEW_BYTES, MOST_PROCESSES, Helpers, num_processes
from engine.planning.rows.row_work import RowWork, ThisProcess
from engine.run import main
from engine.samples import Answer, Reject, RowRejected
from tests.equal_runs import compare_runs
from tests.fixtures.predictions import records


@pytest.fixture
def rows():
    """Predictions of which some cannot be used: no answer, no label, an answer that is too long, a broken label."""
    made = records(75)
    made[3] |= {"full_model_response": "user\nEPS?\nassistant\n"}
    made[20] |= {"full_model_response": made[20]["full_model_response"].partition("assistant\n")[0]}
    made[41] |= {"full_model_response": made[41]["full_model_response"] + " word" * 10_000}
    made[60] |= {"actual_label": "sideways"}
    return made


@pytest.fixture
def work(config_file, predictions_file, rows):
    predictions_file.write_text(json.dumps(rows))
    config, _ = load_config(config_file, ["statistics.random_groups=2"])
    return RowWork(config, 10_000)


def contents(batch):
    """Return what samples hold, wherever they were encoded, and rejects as they are."""
    found = []
    for one in batch:
        if isinstance(one, Reject):
            found.append(one)
        else:
            sample = one.content if isinstance(one.content, EncodedSample) else unpacked(one.content)
            found.append((replace(one, content=b""), json.dumps(_row(sample), default=_listed)))
    return found


def whole(work, workers):
    """Return everything that becomes of the rows."""
    censuses = work.empty_censuses()
    scan = scan_predictions(work.config, work.reader, None, workers.scanned)
    encoded = list(workers.encoded(chosen_records(work.config, scan), censuses))
    return scan, contents(encoded), {name: census.counts() for name, census in censuses.items()}


@pytest.mark.parametrize("number", [2, pytest.param(3, marks=pytest.mark.soak)])
def test_the_plan_is_the_same_with_any_number_of_processes(config_file, predictions_file, rows, number, capsys):
    predictions_file.write_text(json.dumps(rows))
    options = ["--stage", "plan", "statistics.random_groups=3", "predictions.max_samples=60", "predictions.keep=[year]"]
    runs = config_file.parent / "runs"
    for name, processes in (("one", 1), ("several", number)):
        chosen = [f"run.name={name}", f"cluster.planning_processes={processes}"]
        assert main([str(config_file), *options, *chosen]) == 0
    compared = compare_runs(runs / "one", runs / "several")
    assert not compared.differences and not compared.new and compared.num_files > 12
    plans = [json.loads((runs / name / "plan.json").read_text()) for name in ("one", "several")]
    assert plans[0] == plans[1] and plans[0]["num_rejects"] >= 15 and plans[0]["random_vocabularies"]
    printed = capsys.readouterr().out.replace("several", "one")
    first, second = (part.partition("Estimate")[0] for part in printed.split("Plan\n")[1:])
    assert first == second


def test_samples_rejects_and_counts_are_those_of_one_process(work):
    expected = whole(work, ThisProcess(work))
    assert any(isinstance(row, Reject) for row in expected[0].rejects) and expected[2]["financial"]["inside"]
    with Helpers(work, 10_000, 2) as helpers:
        assert whole(work, helpers) == expected
        children = [helper.process.pid for helper in helpers._live]
    assert len(children) == 2 and not any(map(psutil.pid_exists, children))


def test_units_that_are_written_are_not_held(work, tmp_path):
    scan = scan_predictions(work.config, work.reader)
    sample = next(
        one for one in ThisProcess(work).encoded(chosen_records(work.config, scan), {}) if not isinstance(one, Reject)
    )
    batches = [[replace(sample, content=packed(sample.content))]]
    helpers = Helpers(work, 10_000, 2)  # not entered: it does all by itself, when it is asked for a result
    for number in range(3):
        helpers.write(tmp_path / f"{number}.parquet", batches)
        assert len(helpers._writing) == 1
        helpers._result(helpers._writing[0])
    assert len(list(tmp_path.glob("*.parquet"))) == 3


def test_rows_of_a_helper_that_dies_are_done_by_the_other_and_then_here(work, capsys):
    expected = whole(work, ThisProcess(work))
    with Helpers(work, 10_000, 2) as helpers:
        rows = helpers.scanned(config_records(work.config))
        first = [next(rows) for _ in range(2)]
        os.kill(helpers._live[0].process.pid, signal.SIGKILL)
        scanned = [*first, *rows]
        assert scanned == list(ThisProcess(work).scanned(config_records(work.config)))
        assert "died" in capsys.readouterr().err and len(helpers._live) == 1
        for helper in helpers._live:
            os.kill(helper.process.pid, signal.SIGKILL)
        assert whole(work, helpers) == expected and not helpers._live
    assert "SIGKILL); this process goes on with it." in capsys.readouterr().err


def test_a_task_at_which_two_processes_die_is_named(work):
    with Helpers(work, 10_000, 3) as helpers:
        task = next(helpers._chunks(config_records(work.config), is_scan=True))
        asked = helpers._ask(*task)
        with pytest.raises(RunFailedError, match=r"two of 3 processes .* at rows 1 to 16 \(SIGKILL\).* or 1 to plan"):
            while asked.answer is None:
                for helper in helpers._live:
                    if asked in helper.asked and helper.is_ready:
                        os.kill(helper.process.pid, signal.SIGKILL)
                helpers._listen()


def test_helpers_that_cannot_begin_say_why_and_are_done_without(work, monkeypatch, capsys):
    """Their last words, which they print before anybody listens to them."""
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    with Helpers(work, 10_000, 2) as helpers:
        scanned = list(helpers.scanned(config_records(work.config)))
    assert scanned == list(ThisProcess(work).scanned(config_records(work.config)))
    said = capsys.readouterr().err
    assert said.count("Its last words:") == 2 and "encodings" in said and "exit code 1); this process goes on" in said


def test_a_file_that_changes_while_it_is_read_is_refused_as_always(work, predictions_file, rows):
    with Helpers(work, 10_000, 2) as helpers:
        scan = scan_predictions(work.config, work.reader, None, helpers.scanned)
        rows[50]["full_model_response"] = ""
        predictions_file.write_text(json.dumps(rows))
        with pytest.raises(InputError, match=r"was changed while it was read \(row 51"):
            list(helpers.encoded(chosen_records(work.config, scan), work.empty_censuses()))


def test_a_pattern_that_is_given_up_in_a_helper_is_the_configs_mistake(config_file, predictions_file, rows, capsys):
    rows[30]["full_model_response"] = rows[30]["full_model_response"].replace("EPS", "EPS " + "a" * 40 + "!", 1)
    predictions_file.write_text(json.dumps(rows))
    groups = "key_groups={slow: {regex: '(a+)+b'}}"
    assert main([str(config_file), groups, "--stage", "plan", "cluster.planning_processes=2"]) == 2
    assert "key_groups.slow.regex: '(a+)+b' was given up after 5 s" in capsys.readouterr().err
    assert not (config_file.parent / "runs" / "test").exists()


@pytest.mark.parametrize(
    "error",
    [ConfigError("a: b."), InputError("c"), LocaleError("é.json"), OSError(28, "No space left", "x"), KeyError("k")],
    ids=lambda error: type(error).__name__,
)
def test_errors_arrive_as_themselves(error):
    there = unpacked(packed(Failure.of(error))).as_error()
    assert type(there) is type(error) and str(there) == str(error)


def test_an_error_that_cannot_be_made_anew_arrives_in_words():
    there = unpacked(packed(Failure.of(RowRejected("read", "reason", "detail")))).as_error()
    assert (
        type(there) is RuntimeError and str(there) == "RowRejected: detail" and "helped to plan" in there.__notes__[0]
    )


def test_small_files_are_planned_in_one_process(config_file):
    config, _ = load_config(config_file)
    assert num_processes(config, FEW_BYTES) == 1
    assert num_processes(config, FEW_BYTES + 1) == min(MOST_PROCESSES, num_cpus())
    config.cluster.planning_processes = 3
    assert num_processes(config, 1) == num_processes(config, 2**40) == 3


def test_long_records_go_alone_and_many_are_never_out_at_once(work, predictions_file, rows, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_BYTES", 3_000)
    monkeypatch.setattr(module, "_WINDOW_BYTES", 9_000)
    most = 0
    with Helpers(work, 10_000, 2) as helpers:
        ask = helpers._ask

        def counted(*task):
            nonlocal most
            asked = ask(*task)
            out = [*helpers._waiting, *(one for helper in helpers._live for one in helper.asked)]
            most = max(most, sum(one.size for one in out))
            assert re.fullmatch(r"rows \d+ to \d+", asked.name)
            return asked

        monkeypatch.setattr(helpers, "_ask", counted)
        assert len(list(helpers.scanned(config_records(work.config)))) == len(rows)
    assert 3_000 < most < 9_000 + 80_000  # the row of 50,000 characters


def test_generated_answers_go_to_the_helper_of_their_row(config_file, predictions_file):
    rows = records(40)
    ids = [f"{row['company_id']}-{row['year']}" for row in rows]
    answers = {}
    for number in (2, 17, 35):
        prompt, _, text = rows[number]["full_model_response"].partition("\nassistant\n")
        rows[number] |= {"full_model_response": f"{prompt}\nassistant\n"}
        if number != 17:
            answers[ids[number]] = Answer(ids[number], text, 20, is_cut=False)
    predictions_file.write_text(json.dumps(rows))
    config, _ = load_config(config_file, ["generation.enabled=true"])
    expected = whole(RowWork(config, None, answers), ThisProcess(RowWork(config, None, answers)))
    work = RowWork(config, None, answers)
    with Helpers(work, None, 2, answers) as helpers:
        assert whole(work, helpers) == expected
    assert [reject.reason for reject in expected[0].rejects] == ["awaits_generation"] and len(expected[1]) == 39
    assert sum("generated_answer" in sample[0].flags for sample in expected[1]) == 2
