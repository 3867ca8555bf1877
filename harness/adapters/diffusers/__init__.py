"""Schedulers of diffusers, in PyTorch: copies of their source, and runs of them."""
