"""Every test runs on Keras's JAX backend: goodfit chooses it when it is imported before keras."""

import signal
import sys
import warnings

import pytest

import goodfit

assert goodfit.__version__

# A shell starts what it runs in the background (`pytest &`) with Ctrl-C ignored, which programs started by it inherit:
# the tests of Ctrl-C would wait forever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def local_ray(request):
    """A Ray cluster of two cores here. Functions of the test's file are sent by value: workers can't import it."""
    import ray

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"os.fork\(\) was called", RuntimeWarning)  # JAX's, of Ray's own processes
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=80_000_000,
            log_to_driver=False,
            logging_level="error",
        )
    file = sys.modules[request.module.__name__]
    ray.cloudpickle.register_pickle_by_value(file)
    yield ray
    ray.cloudpickle.unregister_pickle_by_value(file)
    ray.shutdown()
