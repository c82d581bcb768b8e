"""Read the real 3D stacks: whole, and with ten of their slices annotated as in the Cell Tracking Challenge."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from skimage.measure import label as connected_components

from cytocascade.errors import CytoCascadeError
from cytocascade.images import StackDataset, read_stacks
from cytocascade.images.label_continuity import check_links
from cytocascade.images.validation import MIN_AREA

DATA = Path(__file__).parents[2].parent / "shared" / "data"
STACKS = {
    "3d-cultured-nuclei": (10, (0.5, 0.3788, 0.3788), 31),
    "3d-organoid-nuclei": (2, (0.6, 0.216, 0.216), 44),
    "3d-mouse-embryo": (1, (1.75, 0.8, 0.8), 51),
    "3d-plant-ovule-nuclei": (1, (0.2837, 0.1268, 0.1268), 100),
}


def folder(name: str) -> Path:
    if not (DATA / name / "images").is_dir():
        pytest.skip(f"real data are not here: {DATA / name}")
    return DATA / name


def as_challenge(root: Path, data: StackDataset) -> Path:
    """Write stacks as frames without voxel size, and their annotated slices as masks of slices."""
    (root / "01_GT/SEG").mkdir(parents=True)
    (root / "01").mkdir()
    for frame, stack in enumerate(data.stacks):
        tifffile.imwrite(root / f"01/t{frame:03d}.tif", stack.image, photometric="minisblack", compression="zlib")
        for z in stack.annotated:
            mask = root / f"01_GT/SEG/man_seg_{frame:03d}_{z:03d}.tif"
            tifffile.imwrite(mask, stack.labels[z], photometric="minisblack", compression="zlib")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", STACKS)
def test_real_stacks_are_read_without_a_remark(name: str) -> None:
    count, spacing, depth = STACKS[name]
    data = read_stacks(folder(name))
    assert (len(data.stacks), data.warnings, data.images) == (count, (), ())
    for stack, (_, mask) in zip(data.stacks, data.files):
        np.testing.assert_array_equal(stack.labels, tifffile.imread(mask))
        assert (stack.spacing, len(stack.annotated), stack.sparse) == (spacing, depth, False)


@pytest.mark.slow
@pytest.mark.parametrize("name", STACKS)
def test_ten_slices_as_challenge_masks_are_the_slices_chosen_from_full_masks(tmp_path: Path, name: str) -> None:
    _, spacing, _ = STACKS[name]
    chosen = read_stacks(folder(name), slices=10)
    assert sum(len(stack.annotated) for stack in chosen.stacks) == 10
    root = as_challenge(tmp_path, chosen)
    with pytest.raises(CytoCascadeError, match=r"01/t000\.tif: the stack states no voxel size"):
        read_stacks(root)
    data = read_stacks(root, spacing=spacing)
    assert data.layout == "ctc"
    assert [stack.annotated for stack in data.stacks] == [stack.annotated for stack in chosen.stacks]
    images = data.annotated_images()
    assert len(images) == 10
    for image, same in zip(images, chosen.annotated_images()):
        np.testing.assert_array_equal(image.image, same.image)
        np.testing.assert_array_equal(image.labels > 0, same.labels > 0)
        assert image.spacing == spacing[1:]
        for value in np.unique(image.labels)[1:]:
            pieces = np.bincount(np.asarray(connected_components(image.labels == value)).ravel())[1:]
            assert np.sort(pieces)[:-1].max(initial=0) < MIN_AREA


@pytest.mark.slow
@pytest.mark.parametrize("name", STACKS)
def test_slices_in_a_mask_that_is_empty_elsewhere_need_sparse(tmp_path: Path, name: str) -> None:
    chosen = read_stacks(folder(name), slices=10)
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for stack in chosen.stacks:
        tifffile.imwrite(tmp_path / f"images/{stack.name}.tif", stack.image, photometric="minisblack")
        tifffile.imwrite(tmp_path / f"masks/{stack.name}.tif", stack.labels, photometric="minisblack")
    spacing = chosen.stacks[0].spacing
    with pytest.raises(CytoCascadeError, match=r"means? no cell in all empty slices(.|\n)*--sparse"):
        read_stacks(tmp_path, spacing=spacing)
    data = read_stacks(tmp_path, spacing=spacing, sparse=True)
    assert [stack.annotated for stack in data.stacks] == [stack.annotated for stack in chosen.stacks]
    assert all(stack.sparse for stack in data.stacks)


@pytest.mark.slow
def test_labels_numbered_slice_by_slice_are_recognised_in_the_real_stacks() -> None:
    recognised, total = 0, 0
    for name in STACKS:
        for mask in sorted((folder(name) / "masks").glob("*.tif")):
            labels = tifffile.imread(mask)
            assert check_links(labels, range(len(labels)), mask) == ()
            if len(np.unique(labels)) < 4:
                continue  # one or two cells keep their number by chance
            total += 1
            try:
                check_links(np.stack([connected_components(plane) for plane in labels]), range(len(labels)), mask)
            except CytoCascadeError:
                recognised += 1
    assert total == 12
    assert recognised == total
