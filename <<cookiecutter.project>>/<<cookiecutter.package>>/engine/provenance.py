"""What a result came from: the versions of the packages and the state of the code."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "lightning", "torchmetrics", "hydra-core", "numpy")


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that can change a result."""
    return {"python": platform.python_version()} | {package: version(package) for package in PACKAGES}


def git_state() -> dict[str, str | bool] | None:
    """Return the commit of the project and whether files differ from it; None outside a git repository."""
    commit = git("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "dirty": bool(git("status", "--porcelain"))}


def git(*arguments: str) -> str | None:
    """Return what git prints in the folder of this project; None without git, repository or commit."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
