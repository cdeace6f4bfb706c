"""What a result came from: the versions of the packages and the state of the code."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that can change a result."""
    packages = {package: version(package) for package in ("lightning", "torchmetrics", "hydra-core", "numpy")}
    return {"python": platform.python_version(), "torch": torch.__version__, **packages}  # torch's build: +cpu, +cu130


def git_state() -> dict[str, str | bool] | None:
    """Return the commit of the project and whether files differ from it; None when git does not track it."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        # The second name is that of this folder in the commit: it fails where another project's git is around this one.
        names = subprocess.check_output([*git, "rev-parse", "HEAD", "HEAD:./"], text=True, stderr=subprocess.DEVNULL)
        changes = subprocess.check_output([*git, "status", "--porcelain"], text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": names.split()[0], "dirty": bool(changes)}
