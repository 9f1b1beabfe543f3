"""The laboratory of the fault tests, with one small run undisturbed."""

from __future__ import annotations

import pytest

from tests.fixtures.laboratory import Laboratory


@pytest.fixture(scope="session")
def lab(tmp_path_factory, tiny_model_dir):
    """The laboratory, with the run ``whole``, measured inline and undisturbed."""
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        # For drivers, and for this process, where transformers has read it already.
        patch.setenv("HF_MODULES_CACHE", str(folder / "modules"))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder / "modules"))
        laboratory = Laboratory(folder, tiny_model_dir)
        assert laboratory.here("whole") == 0
        yield laboratory
