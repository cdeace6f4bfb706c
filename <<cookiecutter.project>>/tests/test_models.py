"""Every model trains on some data, and its checkpoint is enough to have it back."""

from itertools import product
from typing import Any

import pytest
import torch
from conftest import options
from lightning import Trainer, seed_everything

from <<cookiecutter.package>>.engine.build import build, build_model
from <<cookiecutter.package>>.models.classifier import Classifier

# What a model is tried with: train.yaml as it is, other data, the experiments, and at last other losses and metrics.
DATA = [f"data={name}" for name in options("data")]
EXPERIMENTS = [f"experiment={name}" for name in options("experiment")]
LOSSES = product(DATA, (f"loss={name}" for name in options("loss")), (f"metrics={name}" for name in options("metrics")))
ATTEMPTS = [(), *((choice,) for choice in DATA + EXPERIMENTS), *LOSSES]


@pytest.fixture(scope="module", params=options("model"))
def fitted(request, compose_config, choose, tmp_path_factory):
    """Return a trainer that has trained a model for two batches, of the first data that it takes; train.yaml's first."""
    chosen, errors = choose(f"model={request.param}"), []
    for choices in ATTEMPTS:
        try:
            cfg = compose_config(*(override for choice in choices for override in choose(choice)), *chosen)
            return fit(cfg, tmp_path_factory.mktemp(request.param))
        except pytest.skip.Exception:  # this data needs a package that is not here
            continue
        except Exception as error:  # noqa: BLE001  it is made for other data
            errors.append(error)
    raise errors[0]


def fit(cfg, folder):
    seed_everything(0, verbose=False)
    data = build(cfg.data)
    few: dict[str, Any] = {"limit_train_batches": 2, "limit_val_batches": 2}
    trainer = Trainer(accelerator="cpu", devices=1, max_epochs=1, logger=False, default_root_dir=folder, **few)
    trainer.fit(build_model(cfg, data), datamodule=data)
    return trainer


def batch_of(trainer, split):
    """Return the first batch of a split as the model receives it."""
    batch = next(iter(getattr(trainer.datamodule, f"{split}_dataloader")()))
    return trainer.datamodule.on_after_batch_transfer(batch, 0)


def test_every_model_trains_on_some_data(fitted):
    assert fitted.global_step > 0
    assert all(value.isfinite().all() for value in fitted.callback_metrics.values())


def test_a_checkpoint_is_plain_data_and_enough(fitted, tmp_path):
    model, path = fitted.lightning_module, tmp_path / "model.ckpt"
    fitted.save_checkpoint(path)
    torch.load(path, weights_only=True)
    if not model.hparams:
        pytest.skip(f"{type(model).__name__} saves no hyperparameters")
    copy = type(model).load_from_checkpoint(path, map_location="cpu", weights_only=True)
    expected = model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in copy.state_dict().items())


def test_a_classifier_gives_one_logit_per_class(fitted):
    model = fitted.lightning_module
    if not isinstance(model, Classifier):
        pytest.skip(f"{type(model).__name__} is no Classifier")
    *inputs, labels = batch_of(fitted, "val")
    assert model.eval()(*inputs).shape == (len(labels), model.hparams.num_classes)


def test_a_classifier_learns_one_batch_by_heart(fitted):
    model = fitted.lightning_module
    if not isinstance(model, Classifier):
        pytest.skip(f"{type(model).__name__} is no Classifier")
    *inputs, labels = (tensor[:16] for tensor in batch_of(fitted, "val"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(100):
        optimizer.zero_grad()
        model.loss(model(*inputs), labels).backward()
        optimizer.step()
    with torch.no_grad():
        correct = (model.eval()(*inputs).argmax(dim=1) == labels).sum().item()
    assert correct >= len(labels) - 1
