import pytest
import torch
from pydantic import ValidationError

from cytocascade.diffusion.checkpoints import load_network, save_denoiser
from cytocascade.diffusion.denoiser import DenoiserConfig
from cytocascade.diffusion.sampling import Condition, sample, starting_noise
from cytocascade.shapes.cameras import ORTHOGRAPHIC, project, ring
from cytocascade.shapes.multiview import MultiViewConfig, MultiViewDenoiser
from cytocascade.shapes.syncdreamer import CANONICAL_DISTANCE

TINY = MultiViewConfig(
    encoder_width=4,
    nodes=4,
    volume_width=8,
    depths=4,
    painter=DenoiserConfig(
        size=32, channels=3, condition_channels=1, scalars=9, styles=2, stem_width=4, widths=(8, 8, 32), layers=1
    ),
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return MultiViewDenoiser(TINY).eval()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    return {
        "sample": torch.randn(2, 16, 3, 32, 32, generator=generator),
        "timestep": torch.tensor([100, 700]),
        "image": torch.randn(2, 1, 64, 64, generator=generator),
        "scalars": torch.randn(2, 4, generator=generator),
        "style": torch.tensor([0, 1]),
    }


def test_v_has_the_shape_of_the_views(network, inputs):
    assert network(**inputs).shape == (2, 16, 3, 32, 32)


def test_views_are_coupled_every_view_depends_on_every_other(network, inputs):
    with torch.no_grad():
        before = network(**inputs)
        inputs["sample"][:, 3] += 1.0
        after = network(**inputs)
    others = [k for k in range(16) if k != 3]
    assert ((after - before)[:, others].abs().amax(dim=(2, 3, 4)) > 0).all()


def test_predicting_a_few_views_gives_what_predicting_all_gives_there(network, inputs):
    views = torch.tensor([[0, 5], [7, 2]])
    with torch.no_grad():
        full, some = network(**inputs), network(**inputs, views=views)
    for row in range(2):
        assert torch.allclose(some[row, views[row]], full[row, views[row]], atol=1e-5)
        rest = [k for k in range(16) if k not in views[row].tolist()]
        assert (some[row, rest] == 0).all()


@pytest.mark.parametrize("name", ["image", "scalars", "style", "timestep"])
def test_conditions_matter(network, inputs, name):
    with torch.no_grad():
        before = network(**inputs)
        inputs[name] = (
            1 - inputs[name]
            if name == "style"
            else inputs[name] + 100 * (name == "timestep") + 0.5 * (name != "timestep")
        )
        assert not torch.equal(network(**inputs), before)


def test_withheld_scalars_do_not_matter(network, inputs):
    dropped = torch.tensor([True, True])
    with torch.no_grad():
        before = network(**inputs, dropped=dropped)
        inputs["scalars"] = inputs["scalars"] + 1
        assert torch.equal(network(**inputs, dropped=dropped), before)


def test_weights_survive_saving(network, inputs, tmp_path):
    save_denoiser(tmp_path / "shapes.safetensors", network, half=False)
    loaded = load_network(tmp_path / "shapes.safetensors", MultiViewConfig, MultiViewDenoiser)
    with torch.no_grad():
        assert torch.allclose(loaded(**inputs), network(**inputs), atol=1e-5)


def test_the_sampler_serves_views_too_and_does_not_mind_the_number_of_workers(network):
    noise = starting_noise(network, [1, 2, 3])
    condition = Condition(torch.zeros(3, 1, 64, 64), torch.zeros(3, 4), torch.zeros(3, dtype=torch.long))
    one = sample(network, noise, condition, steps=2, workers=1, chunk=2)
    two = sample(network, noise, condition, steps=2, workers=2, chunk=2)
    assert one.shape == (3, 16, 3, 32, 32)
    assert torch.equal(one, two)


def test_the_network_takes_the_cameras_of_syncdreamer_and_keeps_them(network, inputs, tmp_path):
    torch.manual_seed(0)
    far = MultiViewDenoiser(TINY.model_copy(update={"camera_distance": CANONICAL_DISTANCE})).eval()
    assert (network.camera_distance, far.camera_distance) == (ORTHOGRAPHIC, CANONICAL_DISTANCE)
    points = far.frusta[3].reshape(-1, 3)
    seen = project(points, ring()[3:4], CANONICAL_DISTANCE)[0].reshape(4, 16, 16, 3)
    assert torch.allclose(seen[..., 0], seen[0, 0, :, 0].expand(4, 16, 16), atol=1e-5)
    assert torch.equal(far.project[..., 2], network.project[..., 2])
    assert not torch.equal(far.project[..., :2], network.project[..., :2])
    with torch.no_grad():
        assert not torch.allclose(far(**inputs), network(**inputs), atol=1e-3)
    save_denoiser(tmp_path / "shapes.safetensors", far, half=False)
    loaded = load_network(tmp_path / "shapes.safetensors", MultiViewConfig, MultiViewDenoiser)
    assert loaded.camera_distance == CANONICAL_DISTANCE
    assert torch.equal(loaded.frusta, far.frusta)


def test_orthographic_networks_are_written_as_before():
    assert "camera_distance" not in TINY.model_dump_json()
    with pytest.raises(ValidationError):
        MultiViewConfig(camera_distance=1.5)
