"""Small photographs of animals and vehicles.

Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, University of Toronto, 2009.
"""

import gzip
import pickle
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from .official_images import OfficialImages, PublishedFile, Samples, check_labels, places, reading

# All that a pickled array needs, of numpy 1 and 2.
ARRAY = {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")} | {
    (f"numpy.{core}.{module}", name)
    for core in ("core", "_core")
    for module, name in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer"))
}


class CIFAR10(OfficialImages):
    """50 000 images for training and 10 000 for testing, (3, 32, 32), uint8, of 10 classes.

    Their memory is channels_last.

    File: cifar-10-python.tar.gz; without it, the six batches in the folder cifar-10-batches-py.
    """

    source = "CIFAR10"
    input_shape = (3, 32, 32)
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
    num_classes = len(class_names)
    label_key = "labels"

    def files(self) -> list[PublishedFile]:
        published = self.published
        extracted = tuple(f"{published.base_folder}/{name}" for name, _ in published.train_list + published.test_list)
        return [PublishedFile(published.filename, published.tgz_md5, published.url, extracted)]

    def read(self, folder: Path) -> tuple[Samples, Samples]:
        batches: dict[str, Samples] = {}
        for path in places(self.files()[0], folder):
            with reading(path), path.open("rb") as file:
                batches |= self.read_archive(file) if path.suffix == ".gz" else {path.name: self.read_batch(file)}
        train = [batches.pop(name) for name, _ in self.published.train_list]
        return self.joined(train), self.joined(list(batches.values()))

    def read_archive(self, compressed: IO[bytes]) -> dict[str, Samples]:
        names = {name for name, _ in self.published.train_list + self.published.test_list}
        batches = {}
        with gzip.open(compressed) as file:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    name = PurePosixPath(member.name).name
                    if name in names and (batch := archive.extractfile(member)):
                        batches[name] = self.read_batch(batch)
            while file.read(2**20):  # to the end, where gzip has its checksum
                continue
            if missing := names - batches.keys():
                raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        return batches

    def read_batch(self, file: IO[bytes]) -> Samples:
        """Return the samples of a pickle; the images are a view of (N, 3072) that lies in memory as (N, C, H, W)."""
        batch = ArrayUnpickler(file, encoding="bytes").load()  # its keys are bytes where Python 2 wrote it
        images, labels = (batch.get(key.encode(), batch.get(key)) for key in ("data", self.label_key))
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (3072,):
            raise ValueError("data must be an array (N, 3072), uint8")
        check_labels(labels := np.asarray(labels), len(images), self.num_classes)
        return images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels

    def joined(self, batches: list[Samples]) -> Samples:
        """Return the samples of all batches; the list is emptied, so that each batch is freed once it is copied."""
        labels = np.concatenate([labels for _, labels in batches])
        images = np.empty((len(labels), 32, 32, 3), dtype=np.uint8)
        filled = 0
        while batches:
            batch, _ = batches.pop(0)
            images[filled : filled + len(batch)] = batch
            filled += len(batch)
        return images, labels


class ArrayUnpickler(pickle.Unpickler):
    """Reads arrays and plain values; a pickle that names anything else is refused, and none of its code runs."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in ARRAY:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} has no place in CIFAR")
        return super().find_class(module_name, global_name)
