"""Where the tests of kernels run: on a GPU, or without one in Triton's interpreter."""

import importlib.util
import os

import numpy
import pytest
import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if importlib.util.find_spec("triton") is None:
    pytest.skip("triton is not installed: it comes with torch's builds for GPUs", allow_module_level=True)
if DEVICE == "cpu":
    if numpy.lib.NumpyVersion(numpy.__version__) >= "2.4.0":
        pytest.skip("triton's interpreter needs numpy before 2.4", allow_module_level=True)
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are imported, which is at their first call
