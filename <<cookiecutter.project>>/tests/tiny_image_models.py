"""Smaller sizes of the larger models."""

from pathlib import Path

import pytest

OVERRIDES = {
    "model=pretrained": ["model.weights=null", "model.backbone=test_resnet"],
    "model=resnet": ["model.width=8"],
}
CHOICES = tuple(OVERRIDES)


def write(choice: str, folder: Path) -> list[str]:
    """Return the overrides that make the model of a choice small; nothing is written."""
    if choice == "model=pretrained":
        pytest.importorskip("timm", reason=f"{choice} needs the package timm")
    return [choice, *OVERRIDES[choice]]
