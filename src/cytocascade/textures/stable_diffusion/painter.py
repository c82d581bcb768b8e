"""Textures painted by Stable Diffusion."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from cytocascade.diffusion.sampling import map_single_threaded
from cytocascade.errors import CytoCascadeError
from cytocascade.images.cells import Modality
from cytocascade.textures.model import condition_image
from cytocascade.textures.stable_diffusion.checkpoints import check_base, find_base
from cytocascade.textures.stable_diffusion.config import Sampling, StableDiffusionConfig
from cytocascade.textures.stable_diffusion.light import from_channels, from_picture, hint_picture
from cytocascade.textures.stable_diffusion.networks import ControlledUNet
from cytocascade.textures.stable_diffusion.presets import parsed_sampling
from cytocascade.textures.stable_diffusion.prompt import Prompt
from cytocascade.textures.stable_diffusion.rebuilding import rebuilt
from cytocascade.textures.stable_diffusion.runtime import Runtime
from cytocascade.textures.stable_diffusion.sampling import guidance_embedding, lcm_guidance, run_sampler
from cytocascade.textures.stable_diffusion.trained_file import write_trained
from cytocascade.types import FloatArray

HINT_SCALE = 8
"""Pixels of the hint per pixel of the latent: the ControlNet's first layers fold them."""


@dataclass(frozen=True)
class Ready:
    """The networks of a painter, on their device.

    Attributes
    ----------
    networks : ControlledUNet
        UNet and ControlNet, in bf16 on a GPU that knows it.
    vae : AutoencoderKL or None
        In single precision.
    prompt : Prompt
        Embedding of the empty prompt, as the networks.
    """

    networks: ControlledUNet
    vae: AutoencoderKL | None
    prompt: Prompt


class _Shared:
    """Networks that several painters share, once one of them has read them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ready: Ready | None = None


class StableDiffusionPainter:
    """Paints cells with Stable Diffusion and a ControlNet; a `textures.base.TexturePainter`.

    The base is looked for at once, and read when the first cell is painted.

    Parameters
    ----------
    config : StableDiffusionConfig
        Mode, base, sampling.
    weights : dict of str to Tensor
        Trained weights (`networks.kept_weights`), any precision.
    prompt : Prompt
        Embedding of the empty prompt.
    runtime : Runtime, optional
        Where and how to paint.

    Raises
    ------
    CytoCascadeError
        If the base is nowhere.
    """

    def __init__(
        self,
        config: StableDiffusionConfig,
        weights: dict[str, Tensor],
        prompt: Prompt,
        runtime: Runtime | None = None,
    ) -> None:
        self.config = config
        self.weights = weights
        self.prompt = prompt
        self.runtime = runtime or Runtime()
        self.base = find_base(config.base.name, given=self.runtime.base)
        self._shared = _Shared()

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one cell's starting noise, (channels, size, size)."""
        return self.config.latent_channels, self.config.latent_size, self.config.latent_size

    def with_sampling(self, sampling: Sampling) -> StableDiffusionPainter:
        """Return a painter that samples otherwise and shares the networks."""
        other = StableDiffusionPainter(
            self.config.model_copy(update={"sampling": sampling}), self.weights, self.prompt, self.runtime
        )
        other._shared = self._shared
        return other

    def sampled_by(self, sampler: str) -> StableDiffusionPainter:
        """Return a painter that samples as `presets.parsed_sampling` reads."""
        return self.with_sampling(parsed_sampling(sampler))

    def save(self, path: Path) -> None:
        """Write what was trained and the embedding of the empty prompt, in half precision."""
        write_trained(path, self.config, self.weights, self.prompt)

    def ready(self) -> Ready:
        """Return the networks, read and checked now if they have not been.

        Raises
        ------
        CytoCascadeError
            If the base is damaged, or another one than that of the bundle.
        """
        with self._shared.lock:
            if self._shared.ready is None:
                check_base(self.base, self.config.base, self.config.mode)
                self._shared.ready = _on_device(self)
            return self._shared.ready

    def paint(
        self,
        noise: Tensor,
        distance: FloatArray,
        texture: FloatArray,
        *,
        modality: Modality,
        style: int = 0,
        steps: int | None = None,
        guidance: float = 1.0,
        workers: int = 1,
    ) -> FloatArray:
        """Return the relative signal that becomes of `noise`; see `textures.base.TexturePainter`.

        `style` is ignored, and a `guidance` of 1 is that of the config.
        """
        if not len(noise):
            return np.zeros((0, *distance.shape[1:]), dtype=np.float32)
        asked: dict[str, float] = {} if steps is None else {"steps": steps}
        if guidance != 1.0:
            asked["guidance"] = guidance
        sampling = self.config.sampling.model_copy(update=asked)
        ready = self.ready()
        _refuse_lcm(sampling, ready, self)
        condition = condition_image(torch.as_tensor(distance, dtype=torch.float32)[:, None])
        wishes = torch.as_tensor(texture, dtype=torch.float32)

        def run(chosen: slice) -> Tensor:
            return self._paint_chunk(ready, noise[chosen], condition[chosen], wishes[chosen], modality, sampling)

        chunk = self.config.chunk
        chunks = [slice(start, start + chunk) for start in range(0, len(noise), chunk)]
        if self.runtime.chosen_device().type != "cpu":
            with self._shared.lock:
                painted = [run(part) for part in chunks]
        else:
            painted = map_single_threaded(run, chunks, workers)
        return np.asarray(torch.cat(painted)[:, 0].numpy(), dtype=np.float32)

    def _paint_chunk(
        self,
        ready: Ready,
        noise: Tensor,
        condition: Tensor,
        wishes: Tensor,
        modality: Modality,
        sampling: Sampling,
    ) -> Tensor:
        # Inference mode is per thread, so it is entered here.
        with torch.inference_mode():
            parameter = next(ready.networks.parameters())
            hint = hint_picture(condition, wishes, HINT_SCALE * self.config.latent_size, self.config.hint)
            hint = hint.to(parameter.device, parameter.dtype)
            predict = _predictor(ready, hint, sampling)
            x = run_sampler(noise.to(parameter.device, torch.float32), predict, sampling, self.config.schedule)
            if ready.vae is None:
                return from_channels(x, modality).cpu()
            picture = ready.vae.decode(x / ready.vae.config.scaling_factor, return_dict=False)[0]
            return from_picture(picture, modality).cpu()


def _predictor(ready: Ready, hint: Tensor, sampling: Sampling) -> Callable[[Tensor, Tensor, bool], Tensor]:
    width = ready.networks.unet.config.time_cond_proj_dim

    def predict(sample: Tensor, timestep: Tensor, shown: bool) -> Tensor:
        like = sample.to(hint.dtype)
        told = guidance_embedding(lcm_guidance(sampling), width, like) if width else None
        predicted: Tensor = ready.networks(
            like,
            timestep,
            hint if shown else None,
            ready.prompt.tokens,
            ready.prompt.pooled,
            strength=sampling.strength,
            decay=sampling.decay,
            guidance=told,
        )
        return predicted.float()

    return predict


def _on_device(painter: StableDiffusionPainter) -> Ready:
    networks, vae = rebuilt(painter.base, painter.config, painter.weights, painter.runtime.lcm_lora)
    device = painter.runtime.chosen_device()
    dtype = torch.float32
    if device.type == "cuda":
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    networks.to(device, dtype).requires_grad_(False)
    if painter.runtime.compiled:
        networks.unet.compile()
        networks.controlnet.compile()
    pooled = painter.prompt.pooled
    prompt = Prompt(painter.prompt.tokens.to(device, dtype), None if pooled is None else pooled.to(device, dtype))
    return Ready(networks.eval(), None if vae is None else vae.to(device).requires_grad_(False), prompt)


def _refuse_lcm(sampling: Sampling, ready: Ready, painter: StableDiffusionPainter) -> None:
    if sampling.sampler != "lcm" or ready.networks.unet.config.time_cond_proj_dim or painter.runtime.lcm_lora:
        return
    raise CytoCascadeError(
        f"the base {painter.config.base.name!r} was not made for the sampler lcm",
        hint="Add an LCM-LoRA: --sd-lcm-lora latent-consistency/lcm-lora-sdv1-5 (or its file); or fit an LCM "
        "checkpoint.",
    )
