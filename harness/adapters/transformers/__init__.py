"""The library transformers: a PyTorch class and its twin in Flax from one configuration, and the ways between them."""
