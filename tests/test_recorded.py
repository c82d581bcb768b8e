from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import Field

from cytocascade.bundle import find_bundle, load_bundle
from cytocascade.recorded import LeftOutUnset, Recorded


class Old(Recorded):
    budget: float | None = 600.0
    size: tuple[int, ...] = (2, 3)


class New(Old):
    source: Annotated[str | None, LeftOutUnset()] = None
    parts: Annotated[list[int], LeftOutUnset()] = Field(default_factory=list)


def test_unset_fields_leave_no_trace() -> None:
    assert New().model_dump_json() == Old().model_dump_json() == '{"budget":600.0,"size":[2,3]}'
    assert New(budget=1).model_dump() == {"budget": 1.0, "size": (2, 3)}
    assert New().model_dump(mode="json", exclude={"size"}) == {"budget": 600.0}


def test_set_fields_are_written_and_read_again() -> None:
    model = New(source="a", parts=[1])
    assert model.model_dump_json() == '{"budget":600.0,"size":[2,3],"source":"a","parts":[1]}'
    assert New.model_validate_json(model.model_dump_json()) == model


def test_unmarked_fields_are_written_whatever_they_are() -> None:
    assert New(budget=None).model_dump() == {"budget": None, "size": (2, 3)}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("nuclei", "701ebc787249f3921c4b871fef3a5cca59b75335b3c30b7d24c89a2154c9e247"),
        ("nuclei3d", "a0bce5dca6d2da929c81ef8d4176eae7d3785b27bcd3c4c32c6f7ec5222784d7"),
    ],
)
def test_shipped_bundles_keep_their_bytes(name: str, known: str) -> None:
    bundle = load_bundle(find_bundle(name))
    assert bundle.hash == known
    written = bundle.config.model_dump_json(indent=1) + "\n"
    assert written == (find_bundle(name) / "bundle.json").read_text(encoding="utf-8")
