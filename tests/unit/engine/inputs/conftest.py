import pytest

from engine.inputs.readers.record import Limits


@pytest.fixture(params=[1, 7, 64, 2**20])
def limits(request):
    """Chunks of several sizes, so that every token of a file is cut somewhere."""
    return Limits(chunk_bytes=request.param)
