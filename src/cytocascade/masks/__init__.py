"""New single-cell masks by diffusion (MaskDDPM)."""
