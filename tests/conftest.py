"""Every test runs on Keras's JAX backend: goodfit chooses it when it is imported before keras."""

import goodfit

assert goodfit.__version__
