"""Light painted into masks by diffusion."""
