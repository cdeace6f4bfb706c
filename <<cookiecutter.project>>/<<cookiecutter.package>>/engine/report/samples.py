"""Inputs of a model as a person sees them: an image, or the row of a table."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor

LARGEST = 112  # pixels of a side
EXACT = 64  # up to which an image is kept pixel by pixel


def shown(inputs: Sequence[Tensor], data: LightningDataModule | None) -> list[Any]:
    """Return for each sample the address of an image, the values of a row by the name of the column, or None.

    Args:
        inputs: (B, ...) each, as the model gets them: one of images (B, C, H, W), or the numbers and codes of a table.
        data: says with `mean` and `std` how images were normalized, with `columns` what the numbers of a row are.
    """
    decode = getattr(getattr(data, "columns", None), "decode", None)
    if decode and len(inputs) == 2:
        return decode(*(tensor.cpu() for tensor in inputs))
    if len(inputs) == 1 and inputs[0].ndim == 4:
        return pictures(inputs[0].detach().cpu().float(), data)
    return [None] * len(inputs[0])


def pictures(images: Tensor, data: LightningDataModule | None) -> list[str | None]:
    """Return images (B, C, H, W) as addresses that hold them; None where nothing here can draw them."""
    try:
        from PIL import Image
    except ModuleNotFoundError:  # a project that had no images when it was generated
        return [None] * len(images)
    mean, std = (torch.tensor(getattr(data, name, None) or [0.0]).view(-1, 1, 1) for name in ("mean", "std"))
    if std.any():
        images = images * std + mean
    else:
        low, high = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
        images = (images - low) / (high - low).clamp(min=1e-12)
    images = images[:, :3] if images.shape[1] >= 3 else images[:, :1].expand(-1, 3, -1, -1)
    pixels = (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()  # (B, H, W, 3)
    return [address(Image.fromarray(picture)) for picture in pixels]


def address(image: Any) -> str:
    """Return an image as a data address, made smaller if it is large."""
    image.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=max(image.size) <= EXACT, quality=85)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
