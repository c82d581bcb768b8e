"""Where the weights of Stable Diffusion lie, and whether they are the ones that are needed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from cytocascade.diffusion.foreign_weights import refuse_pickle
from cytocascade.errors import CytoCascadeError
from cytocascade.textures.stable_diffusion.config import BaseRecord, Mode

ENVIRONMENT = "CYTOCASCADE_SD_BASE"
"""Environment variable: a base, or a folder in which bases lie under their names."""

COMPONENTS = {"latent": ("unet", "vae"), "pixel": ("unet",)}
"""Components whose weights decide what is generated. The text encoder is not among them: a bundle keeps its result."""

_WEIGHTS = re.compile(r"(?:diffusion_pytorch_)?model(?:\.(?P<variant>fp16))?(?:-\d+-of-\d+)?\.safetensors")
_LARGE = (
    "unet/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.safetensors",
    "text_encoder*/model.safetensors",
)
_WANTED = [
    *("*.json", "*.txt", "unet/diffusion_pytorch_model-*-of-*.safetensors", *_LARGE),
    # ControlNets and LCM-LoRAs, whose repositories hold nothing else.
    *("diffusion_pytorch_model.safetensors", "pytorch_lora_weights.safetensors"),
]
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")

_known_hashes: dict[tuple[str, int, int], str] = {}


def find_base(source: str, *, given: str | Path | None = None, download: bool = False) -> Path:
    """Return the folder or single file of a base.

    Looked for in `given`, where `ENVIRONMENT` points to, at `source` itself, and in the cache of the Hugging Face hub.

    Parameters
    ----------
    source : str
        Hub id or path, as given to the fit.
    given : path-like, optional
        The base, or a folder in which it lies under its name; a hub id is looked up in the cache.
    download : bool
        Whether it may be fetched from the hub.

    Raises
    ------
    CytoCascadeError
        If it is nowhere, or only there as pickle.
    """
    if given:
        return _checked(_at(Path(given), source) or find_on_hub(str(given), download=download), str(given), source)
    place = os.environ.get(ENVIRONMENT)
    found = _at(Path(place), source) if place else None
    return _checked(found or _at(Path(source), source) or find_on_hub(source, download=download), source, source)


def _at(place: Path, source: str) -> Path | None:
    """Return the base at a path: the path itself, or what lies in it under the name of the source."""
    if place.is_file():
        return place
    for candidate in (place, place / Path(source).name, place / source.replace("/", "--")):
        if (candidate / "unet").is_dir() or (candidate.suffix == ".safetensors" and candidate.is_file()):
            return candidate
    return None


def find_on_hub(name: str, *, download: bool) -> Path | None:
    """Return the cached snapshot of a hub repository, or fetch it; None if there is none."""
    if not _HUB_ID.fullmatch(name) or Path(name).exists():
        return None
    from huggingface_hub import snapshot_download

    for offline in (True, False)[: 2 if download else 1]:
        try:
            folder = Path(snapshot_download(name, allow_patterns=_WANTED, local_files_only=offline))
        # Being offline, an unknown name and a missing licence have no common class.
        except Exception:
            continue
        if (folder / "unet").is_dir() or any(folder.glob("*.safetensors")):
            return folder
    return None


def _checked(found: Path | None, place: str, source: str) -> Path:
    if found is None:
        raise CytoCascadeError(
            f"these textures need the weights of Stable Diffusion {source!r}, which are not here"
            + ("" if place == source else f" (looked in {place!r})"),
            hint=how_to_get(source),
        )
    refuse_pickle(found)
    if found.is_file() and found.suffix != ".safetensors":
        raise CytoCascadeError(
            "this is no base of Stable Diffusion", path=found, hint="Give a folder of diffusers or a .safetensors file."
        )
    return found


def how_to_get(source: str) -> str:
    """Return what to do when the weights are missing."""
    name = source if _HUB_ID.fullmatch(source) and not source.startswith((".", "/")) else None
    wanted = ("*.json", "*.txt", *_LARGE)
    fetch = (
        f"Download them: hf download {name} --local-dir DIR {' '.join(f'--include {pattern!r}' for pattern in wanted)}"
        if name
        else f"Copy the folder or file {Path(source).name!r} that the bundle was fitted with to DIR"
    )
    return f"{fetch}\nThen say --sd-base DIR, or set {ENVIRONMENT}=DIR."


def weight_files(folder: Path) -> tuple[list[Path], str | None]:
    """Return the weights of one component (a folder with its config) and their variant, in full precision if there.

    Raises
    ------
    CytoCascadeError
        If there are none, or only pickles.
    """
    found: dict[str | None, list[Path]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        match = _WEIGHTS.fullmatch(path.name)
        if match:
            found.setdefault(match["variant"], []).append(path)
    for variant in (None, "fp16"):
        if variant in found:
            return found[variant], variant
    for path in sorted(folder.glob("*")):
        refuse_pickle(path)
    raise CytoCascadeError(
        "there are no weights in this folder",
        path=folder,
        hint="A folder of diffusers holds unet/, vae/, text_encoder/ and scheduler/: configs and .safetensors.",
    )


def component_folder(base: Path, name: str) -> Path:
    """Return the folder of a component, or raise `CytoCascadeError` if the base lacks it."""
    folder = base / name
    if not (folder / "config.json").is_file():
        raise CytoCascadeError(
            f"this base has no {name}", path=base, hint="Download the whole repository, with its .json files."
        )
    return folder


def hash_base(base: Path, mode: Mode) -> dict[str, str]:
    """Return the SHA-256 of the weights: of every component that the mode uses, or of the single file."""
    if base.is_file():
        return {"file": _hash_file(base)}
    hashes = {}
    for name in COMPONENTS[mode]:
        each = [_hash_file(path) for path in weight_files(component_folder(base, name))[0]]
        hashes[name] = each[0] if len(each) == 1 else hashlib.sha256("".join(each).encode()).hexdigest()
    return hashes


def check_base(base: Path, record: BaseRecord, mode: Mode) -> None:
    """Raise `CytoCascadeError` unless a base holds the weights that a bundle was fitted with, whatever its name."""
    found = hash_base(base, mode)
    wrong = [name for name, value in record.files.items() if found.get(name) != value]
    if wrong:
        raise CytoCascadeError(
            f"these are other weights than those of {record.name!r} that the bundle was fitted with: {wrong[0]} has "
            f"SHA-256 {found.get(wrong[0], 'none')[:12]}, not {record.files[wrong[0]][:12]}",
            path=base,
            hint="A single file and a folder differ, and so do precisions. " + how_to_get(record.name),
        )


def _hash_file(path: Path) -> str:
    status = path.stat()
    key = str(path.resolve()), status.st_size, status.st_mtime_ns
    if key not in _known_hashes:
        digest = hashlib.sha256()
        for block in _blocks(path):
            digest.update(block)
        _known_hashes[key] = digest.hexdigest()
    return _known_hashes[key]


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 24):
            yield block


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Tell what goes wrong inside the block as a `CytoCascadeError` about `path`."""
    try:
        yield
    except CytoCascadeError:
        raise
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, StopIteration) as error:
        raise CytoCascadeError(
            f"these weights cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            path=path,
            hint="Download them again, with their .json files; Stable Diffusion 1.5, 2.1 and XL are supported.",
        ) from error
