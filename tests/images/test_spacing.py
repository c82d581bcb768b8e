from pathlib import Path

import numpy as np
import pytest
import tifffile

from cytocascade.images.readers import read_image
from cytocascade.images.spacing import lateral_spacing

STACK = np.zeros((3, 16, 17), np.uint16)
PLANE = STACK[0]


def stated(path: Path, pixels: np.ndarray, **options: object) -> tuple[float, ...] | None:
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return read_image(path)[1]


@pytest.mark.parametrize(
    ("unit", "factor"), [("µm", 1.0), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("m", 1e6), ("Å", 1e-4)]
)
def test_ome_units_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    metadata = {"axes": "YX", "PhysicalSizeX": 0.25 / factor, "PhysicalSizeY": 0.5 / factor}
    metadata |= {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    assert stated(tmp_path / "a.ome.tif", PLANE, ome=True, metadata=metadata) == pytest.approx((0.5, 0.25))


def test_ome_stack_states_z_and_micrometres_are_the_default(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.3, "PhysicalSizeZ": 1.5}
    found = stated(tmp_path / "a.ome.tif", STACK, ome=True, metadata=metadata)
    assert found == pytest.approx((1.5, 0.3, 0.2))


@pytest.mark.parametrize("metadata", [{}, {"PhysicalSizeX": 0.2}, {"PhysicalSizeX": 1, "PhysicalSizeY": 0}])
def test_ome_without_every_size_states_none(tmp_path: Path, metadata: dict[str, float]) -> None:
    assert stated(tmp_path / "a.ome.tif", PLANE, ome=True, metadata={"axes": "YX", **metadata}) is None


def test_ome_units_without_a_length_state_none(tmp_path: Path) -> None:
    metadata = {"axes": "YX", "PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}
    metadata |= {"PhysicalSizeXUnit": "pixel", "PhysicalSizeYUnit": "pixel"}
    assert stated(tmp_path / "a.ome.tif", PLANE, ome=True, metadata=metadata) is None


@pytest.mark.parametrize(
    ("unit", "per_unit"), [("um", 4.0), ("micron", 4.0), ("\\u00B5m", 4.0), ("nm", 0.004), ("mm", 4000.0)]
)
def test_imagej_units_are_converted(tmp_path: Path, unit: str, per_unit: float) -> None:
    found = stated(
        tmp_path / "a.tif",
        STACK,
        imagej=True,
        resolution=(per_unit, per_unit / 2),
        metadata={"axes": "ZYX", "unit": unit, "spacing": 1.5 * 4 / per_unit},
    )
    assert found == pytest.approx((1.5, 0.5, 0.25), rel=1e-3)


@pytest.mark.parametrize("metadata", [{}, {"unit": "pixel"}, {"unit": "inch"}])
def test_imagej_without_a_length_unit_states_none(tmp_path: Path, metadata: dict[str, str]) -> None:
    found = stated(tmp_path / "a.tif", PLANE, imagej=True, resolution=(72, 72), metadata={"axes": "YX", **metadata})
    assert found is None


def test_imagej_stack_without_z_step_states_none(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "unit": "um"}
    assert stated(tmp_path / "a.tif", STACK, imagej=True, resolution=(4, 4), metadata=metadata) is None


def test_resolution_per_centimetre_is_believed(tmp_path: Path) -> None:
    found = stated(tmp_path / "a.tif", PLANE, resolution=(40000, 20000), resolutionunit="CENTIMETER", metadata=None)
    assert found == pytest.approx((0.5, 0.25))


@pytest.mark.parametrize(
    ("resolution", "unit"),
    [(72, "INCH"), (300, "INCH"), (96, "INCH"), (1, "NONE"), (40000, "NONE"), (1, "CENTIMETER"),
     (72 / 2.54, "CENTIMETER"), (300 / 2.54, "CENTIMETER"), (600 / 2.54, "CENTIMETER")],
)  # fmt: skip
def test_print_resolutions_and_missing_units_state_none(tmp_path: Path, resolution: float, unit: str) -> None:
    found = stated(tmp_path / "a.tif", PLANE, resolution=(resolution, resolution), resolutionunit=unit, metadata=None)
    assert found is None


def test_tifffile_description_with_ome_names_is_read(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeZ": 500, "PhysicalSizeY": 250, "PhysicalSizeX": 125, "unit": "nm"}
    found = stated(tmp_path / "a.tif", STACK, metadata=metadata)
    assert found == pytest.approx((0.5, 0.25, 0.125))


def test_lateral_spacing_is_found_where_the_z_step_is_not(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.3}
    assert stated(tmp_path / "a.ome.tif", STACK, ome=True, metadata=metadata) is None
    assert lateral_spacing(tmp_path / "a.ome.tif") == pytest.approx((0.3, 0.2))
    tifffile.imwrite(tmp_path / "b.tif", STACK, photometric="minisblack")
    assert lateral_spacing(tmp_path / "b.tif") is None
    assert lateral_spacing(tmp_path / "c.png") is None
