"""What pytest is told of this suite, and fixtures that need no download; what builds them is in ``tests/fixtures``."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Files are tested side by side: more threads than cores only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when it is imported; without it each miss waits for retries

import pytest
import torch
from hypothesis import HealthCheck, settings

from tests.fixtures.ids import COLLECTED, as_id
from tests.fixtures.models import write_tiny_model, write_tokenizer
from tests.fixtures.places import ROOT
from tests.fixtures.predictions import records

# How fast examples are made says how busy the machine is.
settings.register_profile("suite", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

LONGEST = (
    "tests/unit/repository/test_readme.py",
    "tests/faults/test_processes.py",
    "tests/faults/test_cluster.py",
    "tests/faults/test_drivers.py",
    "tests/causal/test_causal_analyses.py",
    "tests/faults/test_disk.py",
)
"""Files of minutes, which start first so that none is left to run alone at the end."""

NUM_THREADS = torch.get_num_threads()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--random-files",
        metavar="SEED",
        help="run the files of tests in a random order, which a seed repeats: no file may need what another leaves",
    )


def pytest_configure() -> None:
    # A shell that starts the suite in its background makes it ignore SIGINT; Jupyter and others listen again.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> str | None:
    seed = config.getoption("random_files")
    return f"files in random order: --random-files {seed}" if seed else None


@pytest.hookimpl(tryfirst=True)  # before any are left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.stash[COLLECTED] = [item.nodeid for item in items]
    files = [ROOT / name for name in LONGEST]
    if seed := config.getoption("random_files"):
        files = sorted({item.path for item in items})  # in every worker alike
        random.Random(seed).shuffle(files)
    order = {path: place for place, path in enumerate(files)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def pytest_runtest_setup() -> None:
    # A replica in this process takes as many threads as its config says, and models draw their weights before they are
    # given others: every test starts as the first one does.
    torch.set_num_threads(NUM_THREADS)
    torch.default_generator.manual_seed(0)  # torch.manual_seed keeps a stack trace per absent device


def pytest_make_parametrize_id(val: object) -> str | None:
    return as_id(val)


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE tokenizer like Qwen2's, with single digits and ChatML tokens."""
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder, [row["full_model_response"] for row in records(12, seed=7)])
    return folder


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory, tokenizer_dir: Path) -> Path:
    """A random Qwen2 of 2 layers, 4 query heads and 2 KV heads, with that tokenizer."""
    folder = tmp_path_factory.mktemp("tiny-model")
    write_tiny_model(folder, tokenizer_dir)
    return folder


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    """Take back what a run in this process has set in the environment, and let no test leave anything else behind."""
    environment, state = dict(os.environ), process_state()
    yield
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    assert process_state() == state, "the test leaves the process in another state"


def process_state() -> dict[str, object]:
    """Return what a later test could stumble over."""
    return {
        "folder": Path.cwd(),
        "gradients": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "handlers": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
    }


@pytest.fixture
def predictions_file(tmp_path: Path) -> Path:
    """Twelve predictions in the users' format."""
    path = tmp_path / "predictions.json"
    path.write_text(json.dumps(records(12)))
    return path


@pytest.fixture
def config_file(tmp_path: Path, predictions_file: Path, tiny_model_dir: Path) -> Path:
    """An inline config for the twelve predictions, its run directory below ``tmp_path``."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"""
run: {{name: test, output: {tmp_path / "runs"}}}
predictions: {{path: {predictions_file}}}
model: {{path: {tiny_model_dir}, dtype: float32, device: cpu}}
vocabulary: {ROOT / "config" / "vocabulary" / "financial.yaml"}
cluster: {{mode: inline, samples_per_shard: 5, tokens_per_batch: 1200}}
visualization: {{formats: [html]}}
analysis: {{permutations: 50}}
"""
    )
    return path
