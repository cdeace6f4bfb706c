"""Augmentation changes each image in its own way, in training only; normalization is the same everywhere."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from conftest import PROJECT
from lightning import LightningModule, Trainer
from my_project.data.images.augment import Cutout, RandomAffine, RandomCrop, RandomFlip
from my_project.data.images.image_data import ImageData
from my_project.engine.errors import ConfigError
from my_project.engine.loader import TensorLoader
from torch.utils.data import Subset, TensorDataset

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def random_images(number=64, channels=3, size=12, layout=torch.contiguous_format):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (number, channels, size, size), dtype=torch.uint8, generator=generator)
    return images.contiguous(memory_format=layout)


@LAYOUTS
def test_a_flip_mirrors_the_given_share_of_the_images_and_no_other(layout):
    images = random_images(number=1000, size=4, layout=layout)
    flipped = RandomFlip(0.3)(images)
    is_same = (flipped == images).all(dim=(1, 2, 3))
    is_mirrored = (flipped == images.flip(3)).all(dim=(1, 2, 3))
    assert (is_same | is_mirrored).all()
    assert 230 < is_mirrored.sum() < 370
    assert flipped.is_contiguous(memory_format=layout)


@LAYOUTS
def test_a_crop_moves_each_image_by_up_to_the_padding_and_fills_with_black(layout):
    images = random_images(number=200, size=6, layout=layout)
    cropped = RandomCrop(padding=2)(images)
    padded = torch.nn.functional.pad(images, [2, 2, 2, 2])
    places = [(top, left) for top in range(5) for left in range(5)]
    found = {
        next(p for p in places if torch.equal(image, whole[:, p[0] : p[0] + 6, p[1] : p[1] + 6]))
        for image, whole in zip(cropped, padded, strict=True)
    }
    assert found == set(places)
    assert cropped.is_contiguous(memory_format=torch.channels_last)


@LAYOUTS
def test_a_cutout_blackens_one_square_in_each_image(layout):
    images = random_images(size=12, layout=layout)
    cut = Cutout(size=4)(images)
    black = (cut == 0).all(dim=1)  # (B, H, W)
    assert torch.equal(cut, images * ~black.unsqueeze(1))
    areas = set(black.sum(dim=(1, 2)).tolist())
    assert max(areas) == 16 > min(areas) >= 4  # whole, or across the edge
    assert len({tuple(image.flatten().tolist()) for image in black}) > 20  # at different places


def test_an_affine_change_turns_stretches_and_moves_each_image_in_its_own_way():
    images = random_images(number=50, size=8)
    assert torch.allclose(RandomAffine(degrees=0, scale=0, translate=0)(images), images.float(), atol=1e-3)
    changed = RandomAffine()(images)
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 255
    copies = RandomAffine()(images[:1].expand(50, -1, -1, -1))
    assert len({image.numpy().tobytes() for image in copies}) == 50
    moved = RandomAffine(degrees=0, scale=0, translate=0.5)(torch.full((200, 1, 8, 8), 255, dtype=torch.uint8))
    share = (moved > 127).float().mean(dim=(1, 2, 3))  # of the image that is still within its frame
    assert share.min() < 0.5
    assert share.max() > 0.9
    with pytest.raises(ConfigError, match="degrees, scale and translate must be at least 0"):
        RandomAffine(degrees=-1)


@pytest.mark.parametrize(
    ("change", "message"), [(RandomFlip, "between 0 and 1"), (RandomCrop, "1 pixel"), (Cutout, "1 pixel")]
)
def test_a_value_out_of_range_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        change(-1)


def test_large_pages_are_asked_for_before_torch_loads():
    code = "import os, sys, train; print(os.environ['THP_MEM_ALLOC_ENABLE'], 'torch' in sys.modules)"
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=PROJECT, text=True)
    assert printed.split()[-1] == "False"


class Images(ImageData):
    num_classes, input_shape, class_names = 2, (3, 12, 12), ("a", "b")


class Model(LightningModule):
    """Remembers the images that each stage gives to it."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = {"train": [], "val": []}

    def training_step(self, batch, batch_idx):
        self.seen["train"].append(batch[0])
        return self.layer(batch[0].mean().view(1)).sum()

    def validation_step(self, batch, batch_idx):
        self.seen["val"].append(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@LAYOUTS
def test_training_images_are_augmented_then_normalized_and_validation_images_only_normalized(layout):
    images = random_images(layout=layout)
    dataset = TensorDataset(images, torch.arange(64) % 2)
    mean, std = [0.2, 0.4, 0.6], [0.1, 0.2, 0.3]
    data = Images(
        {"train": dataset, "val": dataset}, mean=mean, std=std, augment={"crop": RandomCrop(2)}, batch_size=64
    )
    model = Model()
    trainer = Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, datamodule=data)
    plain = (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert all(torch.allclose(seen, plain, atol=1e-5) for seen in model.seen["val"])
    first, second = model.seen["train"]
    black = (-torch.tensor(mean) / torch.tensor(std)).view(3, 1, 1)
    assert torch.isclose(first, black, atol=1e-5).all(dim=1).any()
    assert not torch.equal(first.sum(dim=(1, 2, 3)).sort().values, second.sum(dim=(1, 2, 3)).sort().values)
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_16_bit_training_gets_16_bit_images():
    dataset = TensorDataset(random_images(), torch.arange(64) % 2)
    data = Images({"train": dataset, "val": dataset}, mean=[0.5] * 3, std=[0.2] * 3, batch_size=64)
    trainer = Trainer(accelerator="cpu", precision="bf16-true", max_steps=1, logger=False, enable_checkpointing=False)
    trainer.fit(model := Model(), datamodule=data)
    assert model.seen["train"][0].dtype == torch.bfloat16


def test_a_mean_for_other_channels_is_refused():
    dataset = TensorDataset(random_images(), torch.arange(64) % 2)
    for mean, std in ([0.5], [0.5, 0.5, 0.5]), ([0.5] * 3, [0.2, 0.2, 0.0]), ([0.5], [0.2]):
        with pytest.raises(ConfigError, match=r"data.(mean|std) must have 3 numbers"):
            Images({"train": dataset}, mean=mean, std=std, batch_size=8)


@LAYOUTS
def test_the_loader_takes_the_rows_of_a_subset_and_keeps_their_layout(layout):
    images, labels = random_images(layout=layout), torch.arange(64)
    chosen = torch.arange(0, 64, 3)
    subset: Any = Subset(TensorDataset(images, labels), chosen)  # type: ignore[arg-type]
    loader = TensorLoader(subset, 8, shuffle=True, seed=0)
    batches = list(loader)
    assert [len(batch) for _, batch in batches] == [8, 8]
    for batch, places in batches:
        assert set(places.tolist()) <= set(chosen.tolist())
        assert torch.equal(batch, images[places])
        assert batch.is_contiguous(memory_format=layout)
