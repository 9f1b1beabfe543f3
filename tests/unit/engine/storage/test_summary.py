"""What a finished run says of itself."""

import json

from engine.run import main
from engine.schema.manifests import manifest_digest
from engine.storage.run_directory import RunDirectory
from engine.storage.summary import run_lines


def lines(root):
    return {line.strip().split("  ")[0]: line for line in run_lines(RunDirectory(root))}


def test_samples_with_attributions_are_counted_and_a_reason_is_said(config_file, tmp_path):
    assert main([str(config_file), "--stage", "collect"]) == 0
    root = tmp_path / "runs" / "test"
    assert lines(root)["samples with attributions"].endswith(" 12")
    for path in root.glob("shards/*/manifest.json"):
        manifest = json.loads(path.read_text())
        manifest["facts"] |= {"num_attributed": 0, "why_unattributed": "OPT's parts are not known"}
        path.write_text(json.dumps(manifest | {"digest": manifest_digest(manifest)}))
    assert lines(root)["samples with attributions"].endswith(" 0; OPT's parts are not known")
