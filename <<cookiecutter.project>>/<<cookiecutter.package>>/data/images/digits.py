"""Handwritten digits that come with the project, in digits.csv.gz: real data without a download.

Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998. The file
is the test part, as scikit-learn ships it. License: CC BY 4.0.
"""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import TensorDataset

from <<cookiecutter.package>>.data.images.image_data import ImageData
from <<cookiecutter.package>>.data.split import draw
from <<cookiecutter.package>>.engine.errors import ConfigError

NUM_TEST = 360  # the last images, from other writers


class Digits(ImageData):
    """1 797 images (1, 8, 8), uint8 from 0 to 16, of the digits 0 to 9.

    Test is the last 360 images; validation is drawn from the rest, each class in proportion.

    Args:
        val_fraction: share of the training images kept for validation, between 0 and 1.
        split_seed: draws the validation images.
        images: mean, std, augment, batch_size and the like of ImageData.
    """

    white = 16
    input_shape = (1, 8, 8)
    class_names = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    num_classes = len(class_names)

    def __init__(self, *, val_fraction: float = 0.2, split_seed: int = 0, **images: Any) -> None:
        if not 0 < val_fraction < 1:
            raise ConfigError(f"data.val_fraction must be between 0 and 1, got {val_fraction}")
        with gzip.open(Path(__file__).with_name("digits.csv.gz")) as file:
            rows = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.uint8))  # 64 pixels and the label
        pixels, labels = rows[:, :64].reshape(-1, 1, 8, 8), rows[:, 64].long()
        places = draw(labels[:-NUM_TEST], {"val": val_fraction}, split_seed)
        places["test"] = np.arange(len(labels) - NUM_TEST, len(labels))
        splits = {name: TensorDataset(pixels[indices], labels[indices]) for name, indices in places.items()}
        super().__init__(splits, **images)
