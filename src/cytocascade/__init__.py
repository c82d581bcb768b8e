"""CytoCascade: annotated microscopy images synthesised from a handful of annotated cells."""

__version__ = "0.1.0"
