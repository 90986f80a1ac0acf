"""Kernels for GPUs: what the plain PyTorch formulas of the models compute, with less traffic in memory.

Each stands beside the formulas that it replaces, and is tested against them in float64. Triton, which comes with torch's builds for
GPUs, is imported at the first call of a kernel: nothing here needs it before.
"""
