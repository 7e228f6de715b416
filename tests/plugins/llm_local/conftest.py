from pathlib import Path

import pytest

from tests.engines.scripted_gguf import build

pytest.importorskip("xllamacpp")

RAMBLES = """{% if add_generation_prompt %}{{ '"' }}{% endif %}"""


@pytest.fixture(scope="session")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("scripted") / "scripted.gguf")


@pytest.fixture(scope="session")
def rambling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("rambling") / "rambling.gguf", template=RAMBLES)
