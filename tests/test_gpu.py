"""On a GPU: the data lies there, and no step waits for it."""

import json

import pytest
from conftest import PROJECT, TEMPLATE, capture

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

TRAIN = """
import sys

import lightning
import numpy as np
import torch

sys.path[:0] = [".", sys.argv[1]]
import published
from hydra import compose, initialize_config_dir
from my_project.engine.hydra_version import VERSION_BASE
from my_project.engine.run import train
from my_project.models.classifier import Classifier
from pathlib import Path


class NoWaiting(lightning.Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        assert trainer.train_dataloader.dataset.dataset.tensors[0].is_cuda
        assert batch[0].is_contiguous(memory_format=torch.channels_last)
        checked = trainer.current_epoch == 1 and 2 < batch_idx < 40  # none of these is logged
        torch.cuda.set_sync_debug_mode("error" if checked else "default")


Classifier.configure_callbacks = lambda self: [NoWaiting()]
Path("files").mkdir()
random = np.random.default_rng(0)
pixels = [random.integers(256, size=(n, 3, 32, 32), dtype=np.uint8) for n in (3000, 500)]
files = published.write_samples(
    "cifar10", Path("files"), *((images, (np.arange(len(images)) % 10).astype(np.uint8)) for images in pixels)
)
settings = ["model=resnet", "model.compile=true", "trainer.precision=bf16-mixed", "trainer.accelerator=gpu"]
settings += ["trainer.max_epochs=2", "trainer.log_every_n_steps=1000", "data.batch_size=64", "name=gpu"]
with initialize_config_dir(str(Path("configs").absolute()), **VERSION_BASE):
    train(compose("train", overrides=[*files, *settings]))
"""


def test_the_data_is_on_the_gpu_and_no_step_waits_for_it():
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    finished = capture(PROJECT, "-c", TRAIN, str(TEMPLATE / "tests" / "machinery"))
    assert finished.returncode == 0, finished.stderr
    assert json.loads((PROJECT / "runs" / "gpu" / "summary.json").read_text())["status"] == "finished"
