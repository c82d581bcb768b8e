"""The facade: load, fit, generate, save."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cytocascade import __version__
from cytocascade.bundle import Bundle, export_masks, find_bundle, load_bundle, save_bundle
from cytocascade.errors import CytoCascadeError
from cytocascade.export import DatasetSettings, DatasetWriter, load_record
from cytocascade.export.manifest import array_hash
from cytocascade.fitting import FitOptions, StageProgress
from cytocascade.fitting import fit as fit_bundle
from cytocascade.generation import draw_sample, render_sample
from cytocascade.generation_options import GenerationOptions, field_shape
from cytocascade.images.stacks import StackDataset
from cytocascade.textures.stable_diffusion.runtime import Runtime
from cytocascade.types import AnnotatedImage, GeneratedSample
from cytocascade.volumes.fitting import VolumeOptions, fit_volumes
from cytocascade.volumes.generation import draw_volume_sample, render_volume_sample


class Cascade:
    """A trained cascade: from annotated images to any number of new ones.

    Parameters
    ----------
    bundle : Bundle
        Networks and statistics; usually from `from_pretrained` or `fit`.

    Examples
    --------
    >>> from cytocascade import Cascade
    >>> for sample in Cascade.from_pretrained("nuclei").generate(2, seed=1, size=(64, 64), cells=3):
    ...     print(sample.image.shape, sample.labels.max())
    (64, 64) 3
    (64, 64) 3
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    @classmethod
    def from_pretrained(cls, name_or_dir: str | Path, runtime: Runtime | None = None) -> Cascade:
        """Load a shipped bundle by name, or any bundle by its folder.

        Parameters
        ----------
        name_or_dir : str or path-like
            Name or folder.
        runtime : Runtime, optional
            For bundles that paint with Stable Diffusion: where its weights are, on which device it paints.

        Raises
        ------
        CytoCascadeError
            If there is no such bundle, it is damaged, or needs weights that are nowhere.
        """
        return cls(load_bundle(find_bundle(name_or_dir), runtime))

    def fit(
        self,
        dataset: Sequence[AnnotatedImage] | StackDataset,
        *,
        out: str | Path | None = None,
        options: FitOptions | None = None,
        volumes: VolumeOptions | None = None,
        progress: StageProgress | None = None,
    ) -> Cascade:
        """Return a new cascade, fitted to `dataset` starting from this one.

        Parameters
        ----------
        dataset : sequence of AnnotatedImage, or StackDataset
            For example from `cytocascade.read_dataset`. From `cytocascade.read_stacks` it becomes a cascade for
            volumes.
        out : path-like, optional
            Folder to write the bundle to; also lets an interrupted fit go on. Without it, nothing is kept.
        options : FitOptions, optional
            Time budget or steps, seed, device.
        volumes : VolumeOptions, optional
            For volumes: what is known better than the stacks tell.
        progress : callable, optional
            Called with (stage, done, in all, remark).
        """
        if out is None:
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / self.bundle.config.name
                return self.fit(dataset, out=target, options=options, volumes=volumes, progress=progress)
        if isinstance(dataset, StackDataset):
            fitted = fit_volumes(dataset, Path(out), options, volumes=volumes, base=self.bundle, progress=progress)
        else:
            fitted = fit_bundle(list(dataset), Path(out), options, base=self.bundle, progress=progress)
        return Cascade(fitted)

    def save(self, folder: str | Path) -> Path:
        """Write the bundle to `folder` and return it."""
        save_bundle(self.bundle, Path(folder))
        return Path(folder)

    def export_masks(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the masks for diffusers, whose ``DDPMPipeline.from_pretrained`` loads the folder, and return it.

        Raises
        ------
        CytoCascadeError
            If they do not come from such a pipeline: see `FitOptions.mask_backend`.
        """
        return export_masks(self.bundle, Path(folder), overwrite=overwrite)

    def generate(
        self, n: int = 1, *, seed: int = 0, first: int = 0, workers: int = 2, **options: Any
    ) -> Iterator[GeneratedSample]:
        """Generate `n` annotated images, one after the other.

        Parameters
        ----------
        n : int
            Number of images.
        seed : int
            Sample i depends on the bundle, on this seed and on i alone.
        first : int
            Index of the first sample.
        workers : int
            Threads; without influence on the result.
        **options
            See `GenerationOptions`, for example ``size=(512, 512)``, ``cells=(20, 60)``.

        Yields
        ------
        GeneratedSample
        """
        wishes = GenerationOptions.checked(**options)
        for index in range(first, first + n):
            yield self.sample(index, seed=seed, options=wishes, workers=workers)

    def sample(
        self, index: int, *, seed: int, options: GenerationOptions | None = None, workers: int = 2
    ) -> GeneratedSample:
        """Generate one sample by its index."""
        draw = draw_volume_sample if self.bundle.config.dim == 3 else draw_sample
        params = draw(self.bundle, options or GenerationOptions(), seed, index)
        return self._render(params, seed=seed, index=index, workers=workers)

    def _render(self, params: dict[str, Any], *, seed: int, index: int, workers: int) -> GeneratedSample:
        render = render_volume_sample if self.bundle.config.dim == 3 else render_sample
        return render(self.bundle, params, seed=seed, index=index, workers=workers)

    def write(
        self,
        n: int,
        out: str | Path,
        *,
        formats: Sequence[str] = ("folder",),
        seed: int = 0,
        options: GenerationOptions | None = None,
        test_fraction: float = 0.0,
        slice_step: int | None = None,
        workers: int = 2,
        overwrite: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Path:
        """Generate a data set on disk; an interrupted one is continued.

        Parameters
        ----------
        n : int
            Number of images.
        out : path-like
            Folder of the data set.
        formats : sequence of str
            See `cytocascade.export.FORMATS`.
        seed, options, workers
            See `generate`.
        test_fraction : float
            Share of the samples that is held out, in formats that know a test set.
        slice_step : int, optional
            Volumes in the format ``cellpose``: pixels from one slice to the next.
        overwrite : bool
            Replace a data set that is there with other settings.
        progress : callable, optional
            Called with (images done, in all).

        Returns
        -------
        Path
            The manifest.
        """
        options = options or GenerationOptions()
        config = self.bundle.config
        settings = DatasetSettings(
            bundle_name=config.name,
            bundle_hash=self.bundle.hash,
            version=__version__,
            count=n,
            seed=seed,
            formats=tuple(formats),
            size=field_shape(config, options),
            test_fraction=test_fraction,
            slice_step=slice_step,
            overrides=dict(options.command_line()),
        )
        writer = DatasetWriter(Path(out), settings, dim=config.dim, overwrite=overwrite)
        done = writer.done()
        for index in range(n):
            if index not in done:
                writer.add(self.sample(index, seed=seed, options=options, workers=workers))
                done.add(index)
            if progress is not None:
                progress(len(done), n)
        writer.finish(bundle_card=self.bundle.card)
        return writer.manifest

    def replay(self, reference: str, *, workers: int = 2) -> GeneratedSample:
        """Generate the sample that ``MANIFEST#index`` names again, byte for byte.

        Raises
        ------
        CytoCascadeError
            If the manifest was made with another bundle, or the result differs from what it recorded.
        """
        record = load_record(reference)
        if record["bundle"]["hash"] != self.bundle.hash:
            raise CytoCascadeError(
                f"the sample was made with the bundle {record['bundle']['name']!r} "
                f"({record['bundle']['hash'][:12]}), this is {self.bundle.config.name!r} ({self.bundle.hash[:12]})",
                path=reference,
                hint="Give the bundle it was made with: --bundle DIR",
            )
        sample = self._render(record["params"], seed=record["seed"], index=record["index"], workers=workers)
        found = {"image": array_hash(sample.image), "labels": array_hash(sample.labels)}
        if found != record["sha256"]:
            raise CytoCascadeError(
                "the sample came out differently from what the manifest records",
                path=reference,
                hint=f"It was made with version {record['version']}, this is {__version__}; another machine or "
                "another version of torch can also change the last bits.",
            )
        return sample
