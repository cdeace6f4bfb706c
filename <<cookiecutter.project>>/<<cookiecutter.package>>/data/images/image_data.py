"""What data sets of images share: batches that are normalized, and in training augmented, on the device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from <<cookiecutter.package>>.data.images.normalize import Normalize
from <<cookiecutter.package>>.data.tensor_data import TensorData
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.loader import take
from <<cookiecutter.package>>.engine.targets import PACKAGE

Augmentation = Callable[[Tensor], Tensor]  # images (B, C, H, W), uint8 or float32 from 0 to white, to the like


class ImageData(TensorData):
    """Images (B, C, H, W), uint8, that become float32 a batch at a time, on the training device, where that is cheap.

    Args:
        splits: as for TensorData.
        mean: of each channel, as a share of white, in [0, 1].
        std: of each channel, in the same unit.
        augment: by name, what changes the images of a training batch, each in its own way; None leaves one out.
        loading: batch_size, seed and the like of TensorData.
    """

    white = 255  # the value of a white pixel
    input_shape: tuple[int, int, int]  # (C, H, W)
    reading: Mapping[str, Any] = {}  # what else ImageInputs has to know to read a file as this data set does

    def __init__(
        self,
        splits: Mapping[str, Dataset[Any]],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        augment: Mapping[str, Augmentation | None] | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(splits, **loading)
        check_statistics(self.input_shape[0], self.white, mean=mean, std=std)
        self.mean, self.std = list(map(float, mean)), list(map(float, std))
        self.normalize = Normalize(self.input_shape, mean=mean, std=std, white=self.white)
        self.augment = [change for change in (augment or {}).values() if change]

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        images, labels = batch
        if self.trainer and self.trainer.training:
            for change in self.augment:
                images = change(images)
        images = self.normalize(images)
        return (self.trainer.precision_plugin.convert_input(images) if self.trainer else images), labels

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, so that an image file can be given to the model and its output be named."""
        kept = {"input_shape": list(self.input_shape), "mean": self.mean, "std": self.std}
        inputs = {"_target_": f"{PACKAGE}.data.images.image_inputs.ImageInputs", "white": self.white, **self.reading}
        return super().state_dict() | kept | {"inputs": inputs}

    def raw_samples(self, split: str, most: int) -> tuple[Tensor, ...]:
        """Return the first images of a split, (B, C, H, W), uint8 from 0 to 255, as files hold them."""
        images, _ = take(self.splits[split], torch.arange(min(most, len(self.splits[split]))))  # type: ignore[arg-type]
        return ((images * (255 / self.white)).round().to(torch.uint8),)


def check_statistics(channels: int, white: float, **statistics: Any) -> None:
    """Raise ConfigError for a mean or std that is not a number in [0, 1] for each channel."""
    for name, numbers in statistics.items():
        wanted = f"data.{name} must have {channels} number{'s' * (channels > 1)}, shares of white in [0, 1]"
        if not (isinstance(numbers, Sequence) and all(isinstance(x, int | float) for x in numbers)):
            raise ConfigError(f"{wanted}, got {numbers}")
        if len(numbers) != channels or not all(0 <= x <= 1 for x in numbers) or (name == "std" and 0 in numbers):
            unit = next((top for top in (white, 255, 65535) if 1 < max(numbers, default=0) <= top), None)
            shares = unit and [round(x / unit, 4) for x in numbers]
            meant = f"; where white is {unit}, that is data.{name}={shares}" if unit else ""
            raise ConfigError(f"{wanted}{', above 0' * (name == 'std')}, got {list(numbers)}{meant}")
