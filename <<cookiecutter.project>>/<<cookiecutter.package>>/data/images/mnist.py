"""Handwritten digits, the classic benchmark.

Source: LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, 1998.
"""

import gzip
from pathlib import Path

import numpy as np

from .official_images import OfficialImages, PublishedFile, Samples, check_labels, places, reading


class MNIST(OfficialImages):
    """60 000 images for training and 10 000 for testing, (1, 28, 28), uint8, of the digits 0 to 9.

    Files: MNIST/raw/train-images-idx3-ubyte.gz and -labels-idx1-ubyte.gz, the same with t10k for test; or without .gz.
    """

    source = "MNIST"
    input_shape = (1, 28, 28)
    class_names = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    num_classes = len(class_names)

    def files(self) -> list[PublishedFile]:
        folder, address = f"{self.source}/raw", self.published.mirrors[0]
        return [
            PublishedFile(f"{folder}/{name}", md5, address + name, extracted=[f"{folder}/{name.removesuffix('.gz')}"])
            for name, md5 in self.published.resources
        ]

    def read(self, folder: Path) -> tuple[Samples, Samples]:
        images, labels, test_images, test_labels = (places(file, folder)[0] for file in self.files())
        return self.read_split(images, labels), self.read_split(test_images, test_labels)

    def read_split(self, images_path: Path, labels_path: Path) -> Samples:
        with reading(images_path):
            images = read_idx(images_path)
            if images.shape[1:] != self.input_shape[1:]:
                raise ValueError(f"images of shape {images.shape}, not (N, 28, 28)")
        with reading(labels_path):
            labels = read_idx(labels_path)
            check_labels(labels, len(images), self.num_classes)
        return images[..., None], labels  # (N, 28, 28, 1), (N,)


def read_idx(path: Path) -> np.ndarray:
    """Return the uint8 array of an IDX file: two zeros, 8 (uint8), the rank, each size in 4 bytes, big-endian, and data."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        magic = file.read(4)
        if magic[:3] != b"\x00\x00\x08" or len(magic) < 4:
            raise ValueError("no IDX file of bytes")
        shape = tuple(int.from_bytes(file.read(4), "big") for _ in range(magic[3]))
        content = np.frombuffer(bytearray(file.read()), dtype=np.uint8)  # to the end, where gzip has its checksum
    return content.reshape(shape)  # ValueError unless there are as many bytes
