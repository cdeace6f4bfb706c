"""The digits without normalization and augmentation, as what the projects change."""

from typing import Any

from my_project.data.images.digits import Digits
from my_project.data.tensor_data import TensorData
from torch.utils.data import TensorDataset


class PlainDigits(TensorData):
    """The splits of Digits as images (1, 8, 8), float32 in [0, 1]."""

    num_classes = 10
    input_shape = (1, 8, 8)
    class_names = tuple("0123456789")

    def __init__(self, **loading: Any) -> None:
        splits = {name: dataset.tensors for name, dataset in Digits(mean=[0.0], std=[1.0], batch_size=1).splits.items()}
        super().__init__(
            {name: TensorDataset(images / 16, labels) for name, (images, labels) in splits.items()}, **loading
        )
