"""Base against fine-tune, as docs/models.md tells it: its commands run, and the comparison shows the adapter."""

from __future__ import annotations

import re
import shlex

import polars as pl
import pytest
import torch
import yaml

from analyses.report import main as report
from engine.run import main as run
from tests.fixtures.places import ROOT

pytestmark = pytest.mark.soak

LAYER = 2
"""The layer whose value projection the adapter changes: layers below it stay as they are."""


def recipe():
    """Return the commands of the section, without the interpreter."""
    section = (ROOT / "docs" / "models.md").read_text().split("## Base against fine-tune")[1].split("\n## ")[0]
    block = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)[0]
    return [shlex.split(line)[2:] for line in block.splitlines()]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """An adapter of the demo model as PEFT writes one, with the tokenizer beside it, as trainers leave it."""
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, base = tmp_path_factory.mktemp("adapters") / "my-lora", str(ROOT / "data" / "demo-model")
    torch.manual_seed(3)
    settings = peft.LoraConfig(r=2, target_modules=["v_proj"], layers_to_transform=[LAYER], task_type="CAUSAL_LM")
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), settings)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def runs(adapter, tmp_path_factory):
    """The recipe's commands, on fewer samples and with paths of this machine in place of the example's."""
    output = tmp_path_factory.mktemp("runs")
    few = [
        f"run.output={output}",
        "predictions.max_samples=24",
        "analysis.permutations=99",
        "analysis.decodability=false",
        "visualization.formats=[]",
    ]
    *measures, compares = recipe()
    for name, *words in measures:
        assert name == "engine.run"
        own = [word.replace("out/my-lora", str(adapter)) for word in words]
        own[0] = str(ROOT / own[0])
        if not any("model.adapter" in word for word in own):
            own.append(f"model.adapter.path={adapter}")
        assert run([*own, *few]) == 0
    assert compares[0] == "analyses.report"
    paths = [str(output / path.removeprefix("runs/")) for path in compares[1:]]
    assert report(paths) == 0
    return output


@pytest.mark.filterwarnings("ignore")
def test_the_recipe_measures_both_on_the_same_samples(runs):
    base, tuned = (pl.read_parquet(runs / name / "shards" / "*" / "samples.parquet") for name in ("base", "tuned"))
    assert base["sample_id"].sort().to_list() == tuned["sample_id"].sort().to_list() and base.height == 24
    both = base.join(tuned, on="sample_id", suffix="_tuned")
    assert both["num_tokens"].to_list() == both["num_tokens_tuned"].to_list()
    settings = {name: yaml.safe_load((runs / name / "run.yaml").read_text()) for name in ("base", "tuned")}
    assert settings["base"]["config"]["model"]["adapter"] is None
    assert settings["tuned"]["config"]["model"]["adapter"]["path"].endswith("my-lora")


@pytest.mark.filterwarnings("ignore")
def test_attention_differs_only_above_the_layer_that_the_adapter_changes(runs):
    keys = ["sample_id", "layer", "head", "query_group"]
    base, tuned = (pl.read_parquet(runs / name / "shards" / "*" / "head_stats.parquet") for name in ("base", "tuned"))
    both = base.join(tuned, on=keys, suffix="_tuned")
    assert both.height == base.height == tuned.height
    change = both.group_by("layer").agg(
        (pl.col("entropy_nats") - pl.col("entropy_nats_tuned")).abs().max().alias("most")
    )
    most = dict(change.iter_rows())
    assert all(value < 1e-5 for layer, value in most.items() if layer <= LAYER)
    assert all(value > 1e-3 for layer, value in most.items() if layer > LAYER)


@pytest.mark.filterwarnings("ignore")
def test_the_comparison_is_paired(runs):
    tables = runs / "base" / "analysis" / "tables"
    (pair,) = pl.read_parquet(tables / "compared_pairs.parquet").iter_rows(named=True)
    assert (pair["run"], pair["other_run"], pair["num_samples"], pair["is_same_shape"]) == ("base", "tuned", 24, True)
    assert pair["num_changed"] > 0
    changes = pl.read_parquet(tables / "compared_changes.parquet")
    changed = changes.filter(pl.col("pvalue_adjusted") <= pair["level_changes"], pl.col("difference").abs() > 1e-5)
    assert changed.height > 0 and changed["layer"].min() > LAYER
