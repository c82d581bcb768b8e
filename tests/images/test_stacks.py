from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.images.stack_files import SHAPE, SPACING, add, cells, challenge, image_of, only, save, voxels

from cytocascade.errors import CytoCascadeError
from cytocascade.images import read_dataset, read_stacks


def test_stacks_are_read_with_names_files_spacing_and_labels(tmp_path: Path) -> None:
    add(add(tmp_path, "b", cells(3)), "a", cells(6))
    data = read_stacks(tmp_path)
    assert (data.layout, data.root, data.images, data.warnings) == ("folder", tmp_path, (), ())
    assert [stack.name for stack in data.stacks] == ["a", "b"]
    assert data.files[0] == (tmp_path / "images" / "a.tif", tmp_path / "masks" / "a.tif")
    first = data.stacks[0]
    np.testing.assert_array_equal(first.labels, cells(6))
    np.testing.assert_array_equal(first.image, tifffile.imread(data.files[0][0]))
    assert (first.annotated, first.sparse) == (tuple(range(9)), False)
    assert (first.spacing, first.spacing_known) == (SPACING, True)


@pytest.mark.parametrize("kind", ["ome", "imagej hyperstack", "ome with all axes", "plain"])
def test_tiff_stacks_of_every_kind_are_read_alike(tmp_path: Path, kind: str) -> None:
    labels = cells()
    image: np.ndarray = image_of(labels)
    options: dict[str, dict[str, object]] = {
        "ome": {"ome": True, "metadata": voxels()},
        "imagej hyperstack": {
            "imagej": True,
            "metadata": {"axes": "TZCYX", "spacing": 1.0, "unit": "um"},
            "resolution": (4, 4),
        },
        "ome with all axes": {"ome": True, "metadata": voxels() | {"axes": "TCZYX"}},
        "plain": {"metadata": None},
    }
    pixels = {"imagej hyperstack": image[None, :, None], "ome with all axes": image[None, None]}.get(kind, image)
    add(tmp_path, "a", labels)
    save(tmp_path / "images" / "a.tif", pixels, **options[kind])
    (stack,) = read_stacks(tmp_path, spacing=SPACING if kind == "plain" else None).stacks
    np.testing.assert_array_equal(stack.image, image)
    assert stack.spacing == pytest.approx(SPACING)


@pytest.mark.parametrize("layout", ["cellpose", "stardist", "single files", "ctc"])
def test_stacks_are_found_in_every_layout(tmp_path: Path, layout: str) -> None:
    labels = cells()
    masks = None
    images = tmp_path
    if layout == "cellpose":
        save(tmp_path / "x.tif", image_of(labels))
        save(tmp_path / "x_masks.tif", labels)
    elif layout == "stardist":
        add(tmp_path / "train", "x", labels)
    elif layout == "single files":
        add(tmp_path, "x", labels)
        images, masks = tmp_path / "images/x.tif", tmp_path / "masks/x.tif"
    else:
        save(tmp_path / "01/t000.tif", image_of(labels))
        save(tmp_path / "01_GT/SEG/man_seg000.tif", labels)
    data = read_stacks(images, masks, spacing=SPACING)
    assert data.layout == ("folder" if layout == "single files" else layout)
    np.testing.assert_array_equal(data.stacks[0].labels, labels)


def test_empty_slices_hold_no_cell_unless_sparse(tmp_path: Path) -> None:
    add(tmp_path, "a", cells(), only(cells(), 3, 4, 5))
    (stack,) = read_stacks(tmp_path).stacks
    assert (stack.annotated, stack.sparse) == (tuple(range(9)), False)
    data = read_stacks(tmp_path, sparse=True)
    assert (data.stacks[0].annotated, data.stacks[0].sparse) == ((3, 4, 5), True)
    assert data.warnings == ("3 of 9 slices are annotated",)


def test_challenge_slices_are_the_annotated_ones_and_mix_with_full_masks(tmp_path: Path) -> None:
    labels = cells()
    root = challenge(tmp_path, labels, {(0, 4): labels[4], (0, 6): labels[6], (2, 5): labels[5]})
    save(root / "01/t001.tif", image_of(labels))
    save(root / "01_GT/SEG/man_seg001.tif", labels)
    data = read_stacks(root, spacing=SPACING)
    assert [(stack.name, stack.annotated) for stack in data.stacks] == [
        ("01_t000", (4, 6)),
        ("01_t001", tuple(range(9))),
        ("01_t002", (5,)),
    ]
    assert not any(stack.sparse for stack in data.stacks)
    np.testing.assert_array_equal(data.stacks[0].labels, only(labels, 4, 6))
    gold = tmp_path / "01_GT/SEG"
    assert data.files[0] == (tmp_path / "01/t000.tif", gold / "man_seg_000_004.tif", gold / "man_seg_000_006.tif")
    assert data.warnings == ("12 of 27 slices are annotated",)


def test_slices_named_after_their_stack_are_read(tmp_path: Path) -> None:
    labels = cells()
    for z in (3, 5):
        save(tmp_path / f"masks/a_z{z:03d}.tif", labels[z])
    save(tmp_path / "images/a.tif", image_of(labels))
    (stack,) = read_stacks(tmp_path, spacing=SPACING).stacks
    assert (stack.name, stack.annotated) == ("a", (3, 5))
    np.testing.assert_array_equal(stack.labels, only(labels, 3, 5))


def test_sparse_skips_stacks_without_mask_and_without_cells(tmp_path: Path) -> None:
    add(add(tmp_path, "a", cells()), "b", cells(), cells(0))
    save(tmp_path / "images" / "c.tif", image_of(cells()))
    with pytest.raises(CytoCascadeError, match=r"1 images have no mask: c\.tif(.|\n)*--sparse"):
        read_stacks(tmp_path)
    data = read_stacks(tmp_path, sparse=True)
    assert [stack.name for stack in data.stacks] == ["a"]
    assert "1 masks are empty (b): skipped" in data.warnings


def test_plane_images_are_read_as_in_2d(tmp_path: Path) -> None:
    plane = cells(6)[4]
    save(tmp_path / "images" / "a.tif", image_of(plane))
    save(tmp_path / "masks" / "a.tif", plane)
    data = read_stacks(tmp_path, slices=1)
    (image,) = data.images
    (same,) = read_dataset(tmp_path).images
    assert data.stacks == ()
    np.testing.assert_array_equal(image.image, same.image)
    np.testing.assert_array_equal(image.labels, same.labels)
    assert (image.spacing, image.spacing_known, image.name) == ((1.0, 1.0), False, "a")
    assert data.annotated_images() == [image]
    for given in ((1.0, 0.5, 0.4), (0.5, 0.4)):
        assert read_stacks(tmp_path, spacing=given).images[0].spacing == (0.5, 0.4)


def test_planes_and_stacks_mix_if_their_pixels_agree(tmp_path: Path) -> None:
    plane = cells(6)[4]
    add(tmp_path, "a", cells())
    size = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    save(tmp_path / "images" / "b.tif", image_of(plane), ome=True, metadata={"axes": "YX"} | size)
    save(tmp_path / "masks" / "b.tif", plane)
    data = read_stacks(tmp_path)
    assert ([stack.name for stack in data.stacks], [image.name for image in data.images]) == (["a"], ["b"])
    assert len(data.annotated_images()) == 6 + 1
    save(tmp_path / "images" / "b.tif", image_of(plane))
    with pytest.raises(CytoCascadeError, match=r"b\.tif: the image states no pixel size, but the stacks have .*0\.25"):
        read_stacks(tmp_path)


def test_slices_limit_what_is_annotated_and_the_rest_says_nothing(tmp_path: Path) -> None:
    add(add(tmp_path, "a", cells()), "b", cells())
    data = read_stacks(tmp_path, slices=4)
    assert [stack.annotated for stack in data.stacks] == [(3, 6), (3, 6)]
    np.testing.assert_array_equal(data.stacks[0].labels, only(cells(), 3, 6))
    assert data.warnings == ("used 4 of 18 annotated slices",)
    one = read_stacks(tmp_path, slices=1)
    assert (len(one.stacks), one.files) == (1, ((tmp_path / "images" / "b.tif", tmp_path / "masks" / "b.tif"),))
    assert one.warnings == ("used 1 of 18 annotated slices; 1 stacks are left out",)
    assert len(read_stacks(tmp_path, slices=99).annotated_images()) == 12


def test_too_few_slices_to_learn_from_are_refused(tmp_path: Path) -> None:
    add(add(tmp_path, "a", cells(3)), "b", cells(3))
    with pytest.raises(CytoCascadeError, match=r"only 3 usable cells in the 1 slices used(.|\n)*--slices"):
        read_stacks(tmp_path, slices=1)
    with pytest.raises(CytoCascadeError, match="--slices 1 or more"):
        read_stacks(tmp_path, slices=0)


def test_fewer_than_five_cells_are_refused_however_many_slices_show_them(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match="only 4 usable cells"):
        read_stacks(add(tmp_path, "a", cells(4)))


@pytest.mark.parametrize("stated", ["nothing", "pixels"])
def test_stack_without_known_z_step_is_refused_with_what_is_known(tmp_path: Path, stated: str) -> None:
    add(tmp_path, "a", cells())
    options: dict[str, object] = {}
    if stated == "pixels":
        options = {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.4}}
    save(tmp_path / "images" / "a.tif", image_of(cells()), **options)
    expected = {
        "nothing": r"a\.tif: the stack states no voxel size; (.|\n)*--spacing z,y,x",
        "pixels": r"a\.tif: the stack states pixels of 0\.5 x 0\.4 um, but no z step; (.|\n)*--spacing Z,0\.5,0\.4",
    }
    with pytest.raises(CytoCascadeError, match=expected[stated]):
        read_stacks(tmp_path)
    (stack,) = read_stacks(tmp_path, spacing=(2.0, 0.5, 0.4)).stacks
    assert (stack.spacing, stack.spacing_known) == ((2.0, 0.5, 0.4), True)


def test_stacks_of_different_spacing_are_refused(tmp_path: Path) -> None:
    add(add(tmp_path, "a", cells()), "b", cells(), ome=True, metadata=voxels((2.0, 0.25, 0.25)))
    with pytest.raises(CytoCascadeError, match=r"b\.tif: .*2 x 0\.25 x 0\.25 um, but a\.tif(.|\n)*--spacing"):
        read_stacks(tmp_path)


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (1.0, 0.5, 0.0), (1.0, -0.5, 0.5), (1.0, np.inf, 1.0), (1.0,)])
def test_impossible_given_spacing_is_refused(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    with pytest.raises(CytoCascadeError, match="spacing"):
        read_stacks(add(tmp_path, "a", cells()), spacing=spacing)


def test_unusual_voxels_and_axes_are_remarked(tmp_path: Path) -> None:
    add(tmp_path, "a", cells())
    for spacing in ((0.25, 0.25, 1.0), (0.6, 1.0, 1.0), (30.0, 0.25, 0.25)):
        assert any("is the order z, y, x?" in text for text in read_stacks(tmp_path, spacing=spacing).warnings)
    assert read_stacks(tmp_path, spacing=(0.25, 0.25, 0.25)).warnings == ()
    turned = cells(shape=(9, 48, 48)).transpose(1, 2, 0)
    padded = np.pad(turned, ((0, 0), (0, 0), (6, 6)))
    add(tmp_path / "turned", "a", padded)
    assert any("is z the last axis?" in text for text in read_stacks(tmp_path / "turned").warnings)


def test_stack_thinner_than_its_cells_are_wide_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "a", cells())
    with pytest.raises(CytoCascadeError, match=r"a\.tif: the stack is 0\.45 um deep \(9 slices of 0\.05 um\), but its"):
        read_stacks(tmp_path, spacing=(0.05, 0.25, 0.25))


@pytest.mark.parametrize(("axes", "meaning"), [("CYX", "9 channels"), ("TYX", "9 time points"), ("ZCYX", "2 channels")])
def test_channels_and_time_points_are_no_slices(tmp_path: Path, axes: str, meaning: str) -> None:
    add(tmp_path, "a", cells())
    image = image_of(cells())
    pixels = np.stack([image, image], axis=1) if len(axes) == 4 else image
    save(tmp_path / "images" / "a.tif", pixels, ome=True, metadata={"axes": axes})
    with pytest.raises(CytoCascadeError, match=rf"a\.tif: the file has {meaning}(.|\n)*per file") as raised:
        read_stacks(tmp_path, spacing=SPACING)
    assert ("say so in the file" in str(raised.value)) == (len(axes) == 3)


def test_mask_saved_as_channels_is_refused_with_a_way_to_save_it(tmp_path: Path) -> None:
    add(tmp_path, "a", cells())
    path = save(tmp_path / "masks" / "a.tif", cells(), imagej=True, metadata={"axes": "CYX"})
    with pytest.raises(CytoCascadeError, match=rf"{path}: the file has 9 channels(.|\n)*'axes': 'ZYX'"):
        read_stacks(tmp_path)


def test_stacks_given_to_a_2d_fit_are_refused_with_the_option_that_reads_them(tmp_path: Path) -> None:
    with pytest.raises(CytoCascadeError, match=r"a\.tif: the image is a 3D stack(.|\n)*--dim 3"):
        read_dataset(add(tmp_path, "a", cells()))
    root = challenge(tmp_path / "ctc", cells(), {(0, 4): cells()[4]})
    with pytest.raises(CytoCascadeError, match=r"single slices(.|\n)*--dim 3"):
        read_dataset(root)


def test_only_empty_masks_are_refused(tmp_path: Path) -> None:
    add(tmp_path, "a", cells(), cells(0))
    for sparse in (True, False):
        with pytest.raises(CytoCascadeError, match="all 1 masks are empty"):
            read_stacks(tmp_path, sparse=sparse)


@pytest.mark.parametrize("damaged", ["image", "mask", "slice"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"imagej": True}])
def test_truncated_files_are_never_read_as_something_else(
    tmp_path: Path, damaged: str, options: dict[str, object]
) -> None:
    labels = cells()
    options = options | ({"metadata": {"axes": "ZYX"}} if options.get("imagej") else {})
    root = challenge(tmp_path, labels, {(0, 4): labels[4]})
    path = root / "01/t000.tif"
    save(path, image_of(labels), **options)
    if damaged == "mask":
        path = save(root / "01_GT/SEG/man_seg000.tif", labels, **options)
    elif damaged == "slice":
        path = save(root / "01_GT/SEG/man_seg_000_004.tif", labels[4], compression=options.get("compression"))
    whole = read_stacks(root, spacing=SPACING).stacks[0]
    data = path.read_bytes()
    refused = []
    for length in range(0, len(data), len(data) // 23):
        path.write_bytes(data[:length])
        try:
            (stack,) = read_stacks(root, spacing=SPACING).stacks
        except CytoCascadeError as error:
            refused.append(str(error))
        else:
            np.testing.assert_array_equal(stack.image, whole.image)
            np.testing.assert_array_equal(stack.labels, whole.labels)
    assert len(refused) > 12
    assert all(str(path) in message for message in refused)


@pytest.mark.parametrize("part", ["images", "masks"])
def test_changed_bytes_give_a_result_or_the_one_error(tmp_path: Path, part: str) -> None:
    add(tmp_path, "a", cells(), compression="zlib", metadata={"axes": "ZYX"})
    path = tmp_path / part / "a.tif"
    data = path.read_bytes()
    generator = np.random.default_rng(5)
    refused = 0
    for _ in range(120):
        changed = bytearray(data)
        # The directories are what can mislead; they hold few of the bytes, so they are aimed at.
        start = 0 if generator.random() < 0.5 else int(generator.integers(len(data)))
        for place in start + generator.integers(0, 400, 3):
            changed[place % len(data)] = generator.integers(256)
        path.write_bytes(changed)
        try:
            assert read_stacks(tmp_path, spacing=SPACING).stacks[0].image.shape == SHAPE
        except CytoCascadeError:
            refused += 1
    assert refused > 30
