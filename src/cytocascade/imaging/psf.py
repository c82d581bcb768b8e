"""How a microscope spreads the light of a point: models of the point-spread function, as separable parts.

Widths are standard deviations in micrometres. The textures of the cascade are learned from slices of real stacks and
hold the lateral blur already; a PSF that is applied to them must have none in focus (`without_lateral`, `ConePsf`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from cytocascade.errors import CytoCascadeError
from cytocascade.imaging.axis import discrete_gaussian
from cytocascade.imaging.measured_psf import MeasuredPsf
from cytocascade.types import Array

OUT_OF_FOCUS = 0.3
"""Lateral spread per distance from the focus that is assumed where only the width along z is known."""

_HALO_REACH = 3.0


class GaussianPsf(BaseModel):
    """An ellipsoidal Gaussian."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["gaussian"] = "gaussian"
    axial: float = Field(ge=0)
    """Standard deviation along z, in um."""
    lateral: float = Field(0.0, ge=0)
    """Standard deviation along y and x, in um."""

    def without_lateral(self) -> GaussianPsf:
        """Return the PSF for light that is laterally blurred already."""
        return GaussianPsf(axial=self.axial, lateral=0.0)


class ConePsf(BaseModel):
    """Gaussians along z whose light spreads sideways the farther out of focus it is, as a cone.

    Along z the PSF is ``(1 - halo) G(axial) + halo G(halo_axial)``; light from ``dz`` above or below the focus is
    blurred laterally by ``spread * |dz|``.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["cone"] = "cone"
    axial: float = Field(ge=0)
    """Standard deviation of the core along z, in um."""
    halo: float = Field(0.0, ge=0, le=1)
    """Share of the light in the halo."""
    halo_axial: float = Field(0.0, ge=0)
    """Standard deviation of the halo along z, in um."""
    spread: float = Field(0.0, ge=0, le=3)
    """Lateral standard deviation per distance from the focus, um per um."""


Psf = Annotated[GaussianPsf | ConePsf | MeasuredPsf, Field(discriminator="kind")]
"""What a microscope may have; the field ``kind`` tells which."""


def gaussian_psf(
    numerical_aperture: float,
    emission: float,
    *,
    refractive_index: float = 1.515,
    excitation: float | None = None,
) -> GaussianPsf:
    """Return the Gaussian that has the curvature of the scalar (Debye) PSF at its peak.

    With ``alpha = asin(NA / n)``, ``k = 2 pi / wavelength`` and ``c = cos(alpha)``, the nonparaxial approximation of
    the widefield PSF is ::

        lateral = 1 / (n k) * sqrt(7 (1 - c^1.5) / (4 - 7 c^1.5 + 3 c^3.5))
        axial = 5 sqrt(7) (1 - c^1.5) / (sqrt(6) n k sqrt(4 c^5 - 25 c^3.5 + 42 c^2.5 - 25 c^1.5 + 4))

    A confocal microscope multiplies the PSFs of excitation and emission, so inverse variances add. This is the limit
    of a closed pinhole; open ones are between the two.

    Parameters
    ----------
    numerical_aperture : float
        NA of the objective, below the refractive index.
    emission : float
        Emission wavelength in vacuum, in micrometres, for example 0.46 for DAPI.
    refractive_index : float
        Of the immersion medium.
    excitation : float, optional
        Excitation wavelength, in micrometres: makes it a confocal microscope.

    Raises
    ------
    CytoCascadeError
        An NA not between 0 and the refractive index, or a wavelength that is not in micrometres.

    References
    ----------
    B. Zhang, J. Zerubia, J.-C. Olivo-Marin, Gaussian approximations of fluorescence microscope point-spread function
    models, Appl. Opt. 46, 1819-1829 (2007).
    """
    if not 0 < numerical_aperture < refractive_index:
        raise CytoCascadeError(
            f"a numerical aperture of {numerical_aperture:g} is impossible in a medium of index {refractive_index:g}",
            hint="Give the refractive index of the immersion (air 1.0, water 1.33, oil 1.515).",
        )
    waves = [emission] if excitation is None else [emission, excitation]
    if not all(0.1 < wave < 3.0 for wave in waves):
        raise CytoCascadeError(
            f"wavelengths of {', '.join(f'{wave:g}' for wave in waves)} um are not light",
            hint="Give wavelengths in micrometres, for example 0.52 for GFP.",
        )
    c = float(np.sqrt(1 - (numerical_aperture / refractive_index) ** 2))
    lateral = np.sqrt(7 * (1 - c**1.5) / (4 - 7 * c**1.5 + 3 * c**3.5))
    bracket = 4 * c**5 - 25 * c**3.5 + 42 * c**2.5 - 25 * c**1.5 + 4
    axial = 5 * np.sqrt(7) * (1 - c**1.5) / np.sqrt(6 * bracket)
    # Inverse variances are proportional to the squared wave numbers.
    number = np.sqrt(sum((2 * np.pi * refractive_index / wave) ** 2 for wave in waves))
    return GaussianPsf(axial=float(axial / number), lateral=float(lateral / number))


def _padded_sum(first: Array, second: Array) -> Array:
    size = max(len(first), len(second))
    both = [np.pad(kernel, (size - len(kernel)) // 2) for kernel in (first, second)]
    return np.asarray(both[0] + both[1])


def separable_parts(psf: GaussianPsf | ConePsf, spacing: Sequence[float]) -> list[tuple[Array, float]]:
    """Return the PSF as a sum of products of an axial kernel and a lateral Gaussian.

    Parameters
    ----------
    psf : GaussianPsf or ConePsf
    spacing : sequence of float
        Micrometres per voxel along (z, y, x).

    Returns
    -------
    list of (ndarray, float)
        Axial kernel (odd length, symmetric) on the voxels' z-step, and lateral standard deviation in um. The kernels
        of all parts together sum to 1.
    """
    core = discrete_gaussian(psf.axial / spacing[0])
    if isinstance(psf, GaussianPsf):
        return [(core, psf.lateral)]
    wide = psf.halo * discrete_gaussian(psf.halo_axial / spacing[0], reach=_HALO_REACH)
    kernel = _padded_sum((1 - psf.halo) * core, wide)
    variances = (psf.spread * (np.arange(len(kernel)) - len(kernel) // 2) * spacing[0]) ** 2
    widths = _lateral_widths(float(np.sqrt(variances.max())), min(spacing[1:]))
    # Between two widths the light is shared so that the variance is right.
    shares = [np.interp(variances, np.square(widths), unit) for unit in np.eye(len(widths))]
    return [(kernel * share, width) for share, width in zip(shares, widths, strict=True)]


def _lateral_widths(largest: float, pixel: float) -> list[float]:
    widths, width = [0.0], pixel
    while widths[-1] < largest and largest > 0.2 * pixel:
        widths.append(min(width, largest) if width < 1.4 * largest else largest)
        width *= 2
    return widths


def axial_kernel(psf: Psf, spacing: Sequence[float]) -> Array:
    """Return how the PSF as a whole weighs the planes around the focus (odd length, sum 1)."""
    if isinstance(psf, MeasuredPsf):
        return np.asarray(psf.on_grid(spacing).sum(axis=(1, 2), dtype=np.float64))
    return np.asarray(sum(kernel for kernel, _ in separable_parts(psf, spacing)))
