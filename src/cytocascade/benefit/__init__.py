"""Does it help? The segmentation experiment: training with and without synthetic data, and how sure the gain is."""
