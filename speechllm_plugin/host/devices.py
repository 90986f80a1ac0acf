"""The devices of torch that a user can name."""

import re

import torch


def existing_device(name: str | None) -> torch.device:
    """The device of this name: cpu, cuda or cuda:N. None is the first GPU, or the CPU where there is no GPU.

    Raises:
        ValueError: there is no such device.
    """
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    gpu = re.fullmatch(r"cuda(?::(\d+))?", name)
    number = int(gpu[1] or 0) if gpu else None
    if number is None or number >= torch.cuda.device_count():
        raise ValueError(f"--device must be cpu, cuda or cuda:N with one of the {torch.cuda.device_count()} GPUs here, but is {name}")
    return torch.device("cuda", number)


def device_name(device: torch.device) -> str:
    """The GPU's product name, or `CPU, 2 threads`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    number = torch.get_num_threads()
    return f"CPU, {number} thread{'s' * (number > 1)}"
