"""Textures by Stable Diffusion and a ControlNet, as in arXiv 2411.11515."""
