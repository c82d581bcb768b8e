from __future__ import annotations

from pathlib import Path

import pytest
from tests.textures.stable_diffusion import tiny


@pytest.fixture(scope="session")
def sd_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion."""
    return tiny.make_base(tmp_path_factory.mktemp("sd") / "tiny-sd")


@pytest.fixture(scope="session")
def sd_controlnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ControlNet for it."""
    return tiny.make_controlnet(tmp_path_factory.mktemp("sd") / "tiny-controlnet")
