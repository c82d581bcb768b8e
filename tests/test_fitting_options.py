from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from cytocascade import fitting
from cytocascade.fitting import FitOptions, fingerprint_of
from cytocascade.types import AnnotatedImage


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"budget": 0}, {"batch": 0}, {"learning_rate": -1}, {"epochs": 3}])
def test_impossible_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FitOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "known"),
    [
        (FitOptions(), "de3553f102e3a9dce98569cc1b1add0353383802035df393ba5f72e58978008a"),
        (
            FitOptions(steps=2, batch=4, budget=None, seed=1),
            "6d8b891fc2a68cbf0c0588682d10227af3a3101c0214a9d081df225a7f9579d7",
        ),
    ],
)
def test_fits_of_version_0_2_keep_their_fingerprints(
    options: FitOptions, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "__version__", "0.2.0")
    ramp = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    image = AnnotatedImage(ramp, np.eye(32, dtype=np.uint16), (0.5, 0.5), name="ramp", spacing_known=True)
    assert fingerprint_of([image], options, None) == known


def test_default_options_are_recorded_as_ever() -> None:
    assert set(FitOptions().model_dump(mode="json")) == {
        "budget", "steps", "batch", "learning_rate", "seed", "device"
    }  # fmt: skip
