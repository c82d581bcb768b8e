"""Training segmenters on annotated images, real or synthetic, and applying them."""
