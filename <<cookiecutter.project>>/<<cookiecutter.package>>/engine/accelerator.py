"""Is the accelerator that the config asks for on this machine?"""

import os

import torch
from lightning.pytorch.accelerators import AcceleratorRegistry

from <<cookiecutter.package>>.engine.errors import ConfigError


def check_accelerator(requested: str) -> None:
    """Raise ConfigError, saying what this machine has, when it lacks the requested accelerator."""
    known = AcceleratorRegistry.available_accelerators()
    present = {name for name in known if AcceleratorRegistry[name]["accelerator"].is_available()}
    if requested == "auto" or requested in present or (requested == "gpu" and present & {"cuda", "mps"}):
        return
    if requested not in {"gpu", *known}:
        raise ConfigError(f"trainer.accelerator must be auto, gpu or one of {', '.join(known)}, got {requested!r}")
    cuda = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    raise ConfigError(
        f"trainer.accelerator={requested}, but this machine offers only {', '.join(sorted(present))} ({os.cpu_count()} "
        f"cores) to torch {torch.__version__} (built {cuda}). Use trainer.accelerator=auto"
    )
