"""The most memory that this process had resident, from a moment on."""

from pathlib import Path

_PROCESS = Path("/proc/self")


def forget_peak() -> None:
    """Let the peak begin now, where the system (Linux) has one."""
    if (_PROCESS / "clear_refs").exists():
        (_PROCESS / "clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """Since `forget_peak`; None where the system does not tell."""
    if not (_PROCESS / "status").exists():
        return None
    lines = dict(line.split(":", 1) for line in (_PROCESS / "status").read_text(encoding="utf-8").splitlines())
    return int(lines["VmHWM"].removesuffix("kB")) * 1024
