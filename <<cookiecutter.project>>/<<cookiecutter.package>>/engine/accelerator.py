"""Is the accelerator that the config asks for on this machine?"""

import os

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry

from <<cookiecutter.package>>.engine.errors import ConfigError


def check_accelerator(requested: str) -> None:
    """Raise ConfigError, saying what this machine has, when it lacks the requested accelerator."""
    known = set(AcceleratorRegistry.available_accelerators())
    present = {name for name in known if AcceleratorRegistry[name]["accelerator"].is_available()}
    wanted = {"cuda", "mps"} if requested == "gpu" else {requested}
    if wanted & present or not wanted & known:  # Lightning itself answers to auto and to an unknown name
        return
    cuda = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    raise ConfigError(
        f"trainer.accelerator={requested}, but this machine offers only {', '.join(sorted(present))} ({os.cpu_count()} "
        f"cores) to torch {torch.__version__} (built {cuda}). Use trainer.accelerator=auto"
    )
