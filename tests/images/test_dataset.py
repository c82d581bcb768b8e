from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from cytocascade.errors import CytoCascadeError
from cytocascade.images import AnnotatedDataset, read_dataset

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PLANAR_SETS = (
    "bbbc039-u2os",
    "ctc-fluo-n2dh-gowt1",
    "ctc-fluo-n2dl-hela",
    "dsb2018-fluo-360",
    "usiigaci-t98g-phase",
)


def labels(count: int, shape: tuple[int, ...] = (64, 64)) -> np.ndarray:
    """Return `count` squares of 36 pixels, none at the frame of the plane."""
    mask = np.zeros(shape, np.uint16)
    for k in range(count):
        y, x = 4 + 10 * (k // 6), 4 + 10 * (k % 6)
        mask[..., y : y + 6, x : x + 6] = k + 1
    if mask.ndim == 3:
        mask[[0, -1]] = 0
    return mask


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(pixels))
    else:
        tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return path


def add(root: Path, name: str, mask: np.ndarray, **options: object) -> Path:
    image = (100 + np.random.default_rng(0).integers(0, 9, mask.shape) + 50 * (mask > 0)).astype(np.uint16)
    save(root / "images" / f"{name}.tif", image, **options)
    save(root / "masks" / f"{name}.tif", mask)
    return root


def micrometres(size: float) -> dict[str, object]:
    return {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size}}


def test_folder_is_read_with_names_files_and_labels(tmp_path: Path) -> None:
    add(add(tmp_path, "b", labels(3)), "a", labels(4))
    data = read_dataset(tmp_path)
    assert isinstance(data, AnnotatedDataset)
    assert (len(data), data.layout, data.root) == (2, "folder", tmp_path)
    assert [image.name for image in data] == ["a", "b"]
    assert data.files[0] == (tmp_path / "images" / "a.tif", tmp_path / "masks" / "a.tif")
    assert data.warnings == ()
    first = data.images[0]
    np.testing.assert_array_equal(first.labels, labels(4))
    np.testing.assert_array_equal(first.image, tifffile.imread(data.files[0][0]))
    assert (first.image.dtype, first.labels.dtype) == (np.uint16, np.uint16)
    assert (first.spacing, first.spacing_known, first.sparse) == ((1.0, 1.0), False, False)


def test_png_pairs_and_cellpose_masks_are_read(tmp_path: Path) -> None:
    save(tmp_path / "x.png", (labels(6) + 7).astype(np.uint8))
    save(tmp_path / "x_masks.png", labels(6))
    data = read_dataset(tmp_path)
    assert data.layout == "cellpose"
    np.testing.assert_array_equal(data.images[0].labels, labels(6))


def test_stardist_and_single_files_are_read(tmp_path: Path) -> None:
    add(tmp_path / "train", "a", labels(6))
    assert read_dataset(tmp_path).layout == "stardist"
    data = read_dataset(tmp_path / "train/images/a.tif", tmp_path / "train/masks/a.tif")
    assert len(data) == 1


def test_spacing_of_the_files_is_used(tmp_path: Path) -> None:
    add(add(tmp_path, "a", labels(6), **micrometres(0.25)), "b", labels(6), **micrometres(0.251))
    for image in read_dataset(tmp_path):
        assert image.spacing == pytest.approx((0.25, 0.25))
        assert image.spacing_known


def test_given_spacing_wins_even_where_files_disagree(tmp_path: Path) -> None:
    add(add(tmp_path, "a", labels(6), **micrometres(0.25)), "b", labels(6), **micrometres(0.5))
    with pytest.raises(CytoCascadeError, match=r"b\.tif: .*0\.5 x 0\.5 um, but a\.tif(.|\n)*--spacing"):
        read_dataset(tmp_path)
    data = read_dataset(tmp_path, spacing=(0.3, 0.4))
    assert {image.spacing for image in data} == {(0.3, 0.4)}
    assert all(image.spacing_known for image in data)


def test_images_with_and_without_spacing_are_refused(tmp_path: Path) -> None:
    add(add(tmp_path, "a", labels(6)), "b", labels(6), **micrometres(0.5))
    with pytest.raises(CytoCascadeError, match=r"a\.tif: the image states no pixel size, but b\.tif"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("spacing", [(0.5,), (1.0, 0.5, 0.5), (0.0, 1.0), (-1.0, 1.0), (np.nan, 1.0)])
def test_impossible_given_spacing_is_refused(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    with pytest.raises(CytoCascadeError, match="spacing"):
        read_dataset(add(tmp_path, "a", labels(6)), spacing=spacing)


def test_sparse_skips_unannotated_and_empty_images_and_marks_the_rest(tmp_path: Path) -> None:
    add(add(tmp_path, "a", labels(6)), "empty", labels(0))
    save(tmp_path / "images" / "free.tif", labels(0))
    with pytest.raises(CytoCascadeError, match=r"1 images have no mask: free\.tif(.|\n)*--sparse"):
        read_dataset(tmp_path)
    data = read_dataset(tmp_path, sparse=True)
    assert [(image.name, image.sparse) for image in data] == [("a", True)]
    assert "skipped 1 images without a mask: free.tif" in data.warnings
    assert "1 masks are empty (empty): skipped" in data.warnings


def test_image_without_cells_is_background_unless_sparse(tmp_path: Path) -> None:
    add(add(tmp_path, "a", labels(6)), "empty", labels(0))
    data = read_dataset(tmp_path)
    assert [int(image.labels.max()) for image in data] == [6, 0]
    assert data.warnings == ("1 masks are empty (empty): taken for background",)


@pytest.mark.parametrize("sparse", [True, False])
def test_only_empty_masks_are_refused(tmp_path: Path, sparse: bool) -> None:
    add(add(tmp_path, "a", labels(0)), "b", labels(0))
    with pytest.raises(CytoCascadeError, match="all 2 masks are empty"):
        read_dataset(tmp_path, sparse=sparse)


def test_fewer_than_five_usable_cells_are_refused_with_the_reasons(tmp_path: Path) -> None:
    mask = labels(4)
    mask[0:6, 30:36] = 5
    mask[50:54, 50:54] = 6
    with pytest.raises(CytoCascadeError, match=r"only 4 usable.*6 labelled.*1 are cut .* 1 have fewer than 20"):
        read_dataset(add(tmp_path, "a", mask))
    assert len(read_dataset(add(tmp_path, "b", labels(1)))) == 2  # one more whole cell is enough


def test_shapes_that_differ_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "a", labels(6))
    save(tmp_path / "masks" / "a.tif", labels(6)[:-1])
    with pytest.raises(CytoCascadeError, match=r"masks/a\.tif: the mask has the shape \(63, 64\)"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("bad", ["float", "colour", "negative"])
def test_wrong_masks_are_named(tmp_path: Path, bad: str) -> None:
    add(tmp_path, "a", labels(6))
    mask = {
        "float": labels(6).astype(np.float32),
        "colour": np.stack([labels(6)] * 3, axis=-1),
        "negative": labels(6).astype(np.int16) - 1,
    }[bad]
    (tmp_path / "masks" / "a.tif").unlink()
    path = save(tmp_path / "masks" / "a.tif", mask)
    with pytest.raises(CytoCascadeError, match=str(path)):
        read_dataset(tmp_path)


def test_image_with_nan_is_named(tmp_path: Path) -> None:
    add(tmp_path, "a", labels(6))
    path = save(tmp_path / "images" / "a.tif", np.full((64, 64), np.nan, np.float32))
    with pytest.raises(CytoCascadeError, match=f"{path}: .*NaN"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_truncated_file_is_named_in_the_error(tmp_path: Path, folder: str) -> None:
    add(tmp_path, "a", labels(6))
    path = tmp_path / folder / "a.tif"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CytoCascadeError, match=f"{path}: .*cut off"):
        read_dataset(tmp_path)


def test_binary_mask_is_refused_and_labelled_on_request(tmp_path: Path) -> None:
    add(tmp_path, "a", (labels(7) > 0).astype(np.uint8) * 255)
    with pytest.raises(CytoCascadeError, match=r"masks/a\.tif: the mask is binary(.|\n)*--label-components"):
        read_dataset(tmp_path)
    data = read_dataset(tmp_path, label_components=True)
    assert data.images[0].labels.max() == 7
    assert data.warnings == ()


def test_single_cell_images_are_no_binary_masks(tmp_path: Path) -> None:
    for k in range(5):
        add(tmp_path, f"c{k}", labels(1))
    assert len(read_dataset(tmp_path)) == 5


def test_remarks_name_the_mask(tmp_path: Path) -> None:
    mask = labels(7)
    mask[mask == 7] = 6
    data = read_dataset(add(tmp_path, "a", mask))
    assert data.warnings == (f"{tmp_path}/masks/a.tif: label 6 is in pieces far apart: is it one cell?",)


def test_mixed_pixel_types_and_blank_images_are_remarked(tmp_path: Path) -> None:
    add(add(tmp_path, "a", labels(6)), "b", labels(6))
    save(tmp_path / "images" / "b.tif", np.zeros((64, 64), np.uint8))
    first, second = read_dataset(tmp_path).warnings
    assert "uint16, uint8" in first
    assert "same value" in second


def test_stacks_need_dim_3_and_keep_their_axes(tmp_path: Path) -> None:
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.2, "PhysicalSizeZ": 1.0}
    add(tmp_path, "a", labels(6, (7, 64, 64)), ome=True, metadata=metadata)
    with pytest.raises(CytoCascadeError, match=r"images/a\.tif: the image is a 3D stack(.|\n)*--dim 3"):
        read_dataset(tmp_path)
    (image,) = read_dataset(tmp_path, dim=3)
    assert image.image.shape == image.labels.shape == (7, 64, 64)
    assert image.spacing == pytest.approx((1.0, 0.2, 0.2))


def test_planes_are_refused_in_3d_and_other_dimensions_do_not_exist(tmp_path: Path) -> None:
    add(tmp_path, "a", labels(6))
    with pytest.raises(CytoCascadeError, match=r"images/a\.tif: the image is 2D"):
        read_dataset(tmp_path, dim=3)
    with pytest.raises(CytoCascadeError, match="not 4"):
        read_dataset(tmp_path, dim=4)


def challenge(root: Path, gold: int, silver: int | None, markers: int | None) -> Path:
    save(root / "01/t000.tif", labels(0) + 100)
    save(root / "01/t001.tif", labels(0) + 100)
    save(root / "01_GT/SEG/man_seg000.tif", labels(gold))
    if silver is not None:
        save(root / "01_ST/SEG/man_seg000.tif", labels(silver))
    if markers is not None:
        save(root / "01_GT/TRA/man_track000.tif", labels(markers))
    return root


@pytest.mark.parametrize(
    ("silver", "markers", "sparse"),
    [
        (None, None, False),
        (20, 20, False),
        (21, None, False),
        (25, None, True),
        (20, 25, True),
        (None, 25, True),
    ],
)
def test_gold_masks_with_fewer_cells_than_there_are_make_the_image_sparse(
    tmp_path: Path, silver: int | None, markers: int | None, sparse: bool
) -> None:
    data = read_dataset(challenge(tmp_path, 20, silver, markers))
    assert data.layout == "ctc"
    (image,) = data
    assert (image.name, image.sparse, int(image.labels.max())) == ("01_t000", sparse, 20)
    assert any("gold masks cover only some cells" in warning for warning in data.warnings) == sparse


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANAR_SETS)
def test_two_real_images_of_each_set_are_read(tmp_path: Path, name: str) -> None:
    if not (DATA / name).is_dir():
        pytest.skip(f"real data are not here: {DATA / name}")
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for file in sorted((DATA / name / kind).glob("*.tif"))[:2]:
            (tmp_path / kind / file.name).symlink_to(file)
    data = read_dataset(tmp_path)
    assert len(data) == 2
    for image, (_, mask_file) in zip(data, data.files):
        np.testing.assert_array_equal(image.labels, tifffile.imread(mask_file))
        assert image.image.dtype in (np.uint8, np.uint16)
        assert not image.spacing_known
        assert image.labels.max() > 10
