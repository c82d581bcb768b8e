"""Reading annotated images and cutting them into single cells, with the statistics to match."""

from cytocascade.images.dataset import AnnotatedDataset, read_dataset
from cytocascade.images.readers import read_image, read_mask

__all__ = ["AnnotatedDataset", "read_dataset", "read_image", "read_mask"]
