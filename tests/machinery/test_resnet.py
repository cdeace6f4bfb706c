"""ResNet is the network of the paper, for images of any size."""

import pytest
import torch
from lightning import LightningDataModule
from my_project.engine.build import build_model
from my_project.engine.errors import ConfigError


@pytest.fixture
def resnet(compose_config):
    def built(input_shape, *overrides):
        cfg = compose_config("model=resnet", *overrides)
        data = LightningDataModule()
        data.num_classes, data.input_shape = 10, input_shape
        return build_model(cfg, data)

    return built


def num_weights(model):
    return sum(p.numel() for p in model.parameters())


def test_it_has_as_many_weights_as_the_published_networks(resnet):
    assert num_weights(resnet((3, 32, 32))) == 11_173_962
    assert num_weights(resnet((3, 224, 224))) == 11_689_512 - 990 * 513  # 1 000 classes in the paper, 10 here
    assert num_weights(resnet((3, 224, 224), "model.blocks=[3,4,6,3]")) == 21_797_672 - 990 * 513  # ResNet-34


@pytest.mark.parametrize(
    ("input_shape", "last_side"), [((1, 1, 1), 1), ((1, 8, 8), 1), ((3, 64, 64), 8), ((2, 65, 40), 3), ((3, 96, 96), 3)]
)
def test_only_large_images_are_made_smaller_before_the_first_stage(resnet, input_shape, last_side):
    model = resnet(input_shape, "model.width=4").eval()
    images = torch.randn(2, *input_shape)
    assert model.stages(model.stem(images)).shape[:3] == (2, 32, last_side)
    assert model(images).shape == (2, 10)


def test_a_block_begins_as_its_shortcut(resnet):
    block = resnet((3, 32, 32), "model.width=4").stages[0][0].eval()
    x = torch.rand(2, 4, 8, 8)
    assert torch.equal(block(x), x)


def test_what_it_cannot_be_is_said(resnet):
    with pytest.raises(ConfigError, match=r"model=resnet takes images \(C, H, W\), and this data has inputs \(13,\)"):
        resnet((13,))
    with pytest.raises(ConfigError, match=r"each of model.blocks must be at least 1, got 64 and \[2, 0\]"):
        resnet((3, 32, 32), "model.blocks=[2,0]")
