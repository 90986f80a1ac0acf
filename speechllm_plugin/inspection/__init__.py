"""Looks into a trained model on a split: compression rates, attention. `inspect` keeps them in the run's folder."""

from speechllm_plugin.inspection.run_folder import inspect
from speechllm_plugin.inspection.stored import Inspection, Picture

__all__ = ["Inspection", "Picture", "inspect"]
