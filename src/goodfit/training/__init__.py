"""Training: the only package that knows keras and jax. Its modules are imported by name; this loads neither."""
