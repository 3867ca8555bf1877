"""What the adapters of all JAX libraries share: the session, float64, and arrays in and out."""
