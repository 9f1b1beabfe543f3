import pytest

from tests.fixtures.chat_templates import STYLES, styled_tokenizer


@pytest.fixture(scope="package")
def folders(tokenizer_dir, tmp_path_factory):
    """Return a folder of each family's tokenizer."""
    base = tmp_path_factory.mktemp("styles")
    for name in STYLES:
        styled_tokenizer(base / name, tokenizer_dir, name)
    return {name: base / name for name in STYLES}
