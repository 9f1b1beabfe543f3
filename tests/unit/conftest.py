import pytest

from engine import records as module


@pytest.fixture(params=[1, 7, 64, 2**20])
def chunk_bytes(request, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", request.param)
    return request.param
