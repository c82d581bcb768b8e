"""From the mask of a cell to its surface: multi-view diffusion, NeuS, voxels, slices; and simpler priors."""
