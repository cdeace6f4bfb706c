"""Does the build of torch fit the machine it runs on?"""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import torch

from .finding import Finding

INSTALL = "install the build that https://pytorch.org/get-started/locally shows for this machine"


def installed_gpu(root: Path = Path("/")) -> str | None:
    """Return whose GPU this machine has: NVIDIA, AMD, Apple or None; torch is not asked.

    Args:
        root: of the file system.
    """
    if platform.system() == "Darwin":
        return "Apple" if platform.machine() == "arm64" else None
    if any(root.glob("dev/nvidia[0-9]*")) or any(root.glob("proc/driver/nvidia/gpus/*")) or nvidia_smi_lists_one():
        return "NVIDIA"
    return "AMD" if (root / "dev/kfd").exists() else None


def nvidia_smi_lists_one() -> bool:
    """Say whether nvidia-smi is there and finds a GPU; an image may bring the program to a machine without one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and "GPU " in listed.stdout


def check_build(accelerator: str, gpu: str | None) -> Iterator[Finding]:
    """(28) Torch is built for the GPU of the machine, and can use it.

    Args:
        accelerator: the trainer's; with cpu the GPU is left alone on purpose, and it is only a warning.
        gpu: what `installed_gpu` has found.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1", "NoDevFiles")
    what = remedy = ""
    if gpu == "NVIDIA" and not hidden:
        what, remedy = nvidia_problem()
    elif gpu == "AMD" and torch.version.hip is None:
        what, remedy = "the machine has an AMD GPU, and torch is built without ROCm", f"{INSTALL}, with ROCm"
    elif gpu == "Apple" and not torch.backends.mps.is_available():
        what, remedy = "the machine has an Apple GPU that this torch cannot use", f"{INSTALL}, on macOS 14 or newer"
    if what:
        yield Finding(
            "build",
            f"torch {torch.__version__}",
            what,
            "everything runs on the CPU, for many models ten to a hundred times slower",
            remedy,
            warning=accelerator == "cpu" or gpu == "AMD",  # the graphics inside an AMD processor looks the same
        )


def nvidia_problem() -> tuple[str, str]:
    """Return what keeps torch from the NVIDIA GPU and what to do; empty if nothing does."""
    if torch.version.cuda is None:
        return "the machine has an NVIDIA GPU, and torch is built without CUDA", f"{INSTALL}, with CUDA"
    if not torch.cuda.is_available():
        what = f"the machine has an NVIDIA GPU that torch, built for CUDA {torch.version.cuda}, cannot use"
        return what, "look at what nvidia-smi says; update the driver, or install torch for an older CUDA"
    try:
        torch.ones(1, device="cuda").add_(1).item()
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        return (
            f"torch, built for CUDA {torch.version.cuda}, fails on this GPU: {reason}",
            f"{INSTALL}: this GPU is newer or older",
        )
    return "", ""
