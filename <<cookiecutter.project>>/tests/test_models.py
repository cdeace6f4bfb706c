"""Every model can be built for every dataset and can learn one batch by heart."""

import lightning
import pytest
import torch
from conftest import options

from <<cookiecutter.package>>.engine.build import build, build_model
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.models.classifier import Classifier

MODELS = pytest.mark.parametrize("model_name", options("model"))


@pytest.fixture
def parts(compose_config, choose, data_name, model_name):
    cfg = compose_config(*choose(f"data={data_name}"), *choose(f"model={model_name}"))
    lightning.seed_everything(0, verbose=False)
    data = build(cfg.data)
    data.prepare_data()
    data.setup("fit")
    try:
        model = build_model(cfg, data)
    except ConfigError as error:
        pytest.skip(str(error))
    if not isinstance(model, Classifier):
        pytest.skip(f"{model_name} is not a Classifier: test it in a file of its own")
    return data, model


@MODELS
@pytest.mark.parametrize("data_name", options("data"))
def test_every_model_maps_images_to_one_logit_per_class(parts):
    data, model = parts
    images, labels = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    assert model(images).shape == (len(labels), data.num_classes)


@MODELS
@pytest.mark.parametrize("data_name", ["digits"])
def test_every_model_overfits_one_batch(parts):
    data, model = parts
    images, labels = (tensor[:16] for tensor in next(iter(data.train_dataloader())))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for _ in range(60):
        optimizer.zero_grad()
        loss = model.loss(model(images), labels)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        correct = (model(images).argmax(dim=1) == labels).sum().item()
    assert correct == len(labels)


@MODELS
@pytest.mark.parametrize("data_name", ["digits"])
def test_hyperparameters_are_plain_data(parts):
    _, model = parts

    def plain(value):
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(child) for key, child in value.items())
        if isinstance(value, list | tuple):
            return all(plain(child) for child in value)
        return value is None or type(value) in (int, float, str, bool)

    assert plain(dict(model.hparams))
