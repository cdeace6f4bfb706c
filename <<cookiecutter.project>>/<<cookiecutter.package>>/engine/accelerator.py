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
        choices = ", ".join(sorted({"auto", "gpu", *known}))
        raise ConfigError(f"trainer.accelerator must be one of {choices}, got {requested!r}")
    build = "" if torch.version.cuda or torch.version.hip else ", which is a build without GPU support"
    raise ConfigError(
        f"trainer.accelerator={requested}, but this machine offers only {', '.join(sorted(present))} "
        f"({os.cpu_count()} cores) to torch {torch.__version__}{build}. Use trainer.accelerator=auto"
    )
