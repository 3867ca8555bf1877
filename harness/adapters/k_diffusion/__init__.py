"""The samplers of k-diffusion, from which many schedulers of diffusers were ported."""
