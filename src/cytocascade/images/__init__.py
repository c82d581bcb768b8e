"""Reading annotated images and cutting them into single cells, with the statistics to match."""

from cytocascade.images.dataset import AnnotatedDataset, read_dataset
from cytocascade.images.readers import read_image, read_mask
from cytocascade.images.slices import annotated_slices
from cytocascade.images.stacks import StackDataset, read_stacks

__all__ = [
    "AnnotatedDataset",
    "StackDataset",
    "annotated_slices",
    "read_dataset",
    "read_image",
    "read_mask",
    "read_stacks",
]
