"""Everything in an image that is not a cell: background, camera noise, and the file's grey levels."""
