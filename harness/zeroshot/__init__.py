"""Zero-shot accuracy: how likely a causal language model finds each completion, and how often the best is right."""
