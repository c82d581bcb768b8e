"""The denoiser, noise schedule, training loop and sampler that serve every diffusion stage."""
