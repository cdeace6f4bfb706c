"""A backbone of timm starts from the weights it is given, and trains what it is to train."""

from pathlib import Path

import pytest
import torch
from lightning import Callback, LightningDataModule, Trainer
from my_project.engine.build import build, build_model
from my_project.engine.errors import ConfigError
from my_project.engine.run import train
from my_project.engine.targets import find

timm = pytest.importorskip("timm")
safetensors = pytest.importorskip("safetensors.torch")
constants = pytest.importorskip("huggingface_hub").constants

RESNET, VIT = "model.backbone=test_resnet", "model.backbone=test_vit3"  # small ones, made for tests
HUB_ID = "timm/test_resnet.r160_in1k"


@pytest.fixture
def pretrained(compose_config):
    def built(*overrides, input_shape=(3, 32, 32), num_classes=10, mean=None, std=None):
        cfg = compose_config("model=pretrained", *overrides)
        data = LightningDataModule()
        data.num_classes, data.input_shape, data.mean, data.std = num_classes, input_shape, mean, std
        return build_model(cfg, data)

    return built


@pytest.fixture(scope="module")
def weights():
    """The weights of a backbone for 1 000 classes, with statistics in its batch norms."""
    net = timm.create_model("test_resnet")
    with torch.no_grad():
        net.train()(torch.rand(4, 3, 64, 64))
    return net.state_dict()


@pytest.fixture
def file(tmp_path, weights):
    torch.save(weights, path := tmp_path / "weights.pth")
    return path


def kept(model, weights):
    """The names of the tensors that are those of the file."""
    return {name for name, tensor in model.net.state_dict().items() if torch.equal(tensor, weights[name])}


HEAD = {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_all_but_a_head_for_other_classes_comes_from_the_file(pretrained, weights, tmp_path, name):
    (safetensors.save_file if name.endswith(".safetensors") else torch.save)(weights, tmp_path / name)
    given = [RESNET, f"model.weights={tmp_path / name}"]
    assert kept(model := pretrained(*given), weights) == weights.keys() - HEAD
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 10)
    assert kept(pretrained(*given, num_classes=1000), weights) == weights.keys()


def test_a_file_without_a_head_is_taken_too(pretrained, weights, file):
    torch.save({"state_dict": {name: weights[name] for name in weights.keys() - HEAD}}, file)
    assert kept(pretrained(RESNET, f"model.weights={file}"), weights) == weights.keys() - HEAD


def test_the_first_layer_fits_the_channels_of_the_data(pretrained, weights, file):
    model = pretrained(RESNET, f"model.weights={file}", input_shape=(1, 8, 8))
    first = "conv1.0.weight"
    assert torch.allclose(model.net.state_dict()[first], weights[first].sum(dim=1, keepdim=True), atol=1e-6)


def test_a_transformer_fits_the_size_of_the_data(pretrained, tmp_path):
    torch.save(timm.create_model("test_vit3").state_dict(), tmp_path / "vit.pth")  # for 160 pixels
    model = pretrained(VIT, f"model.weights={tmp_path / 'vit.pth'}", input_shape=(1, 32, 64))
    assert model(torch.rand(2, 1, 32, 64)).shape == (2, 10)
    with pytest.raises(ConfigError, match=r"model.backbone=test_vit3 cannot classify images of 1x8x8"):
        pretrained(VIT, "model.weights=null", input_shape=(1, 8, 8))


class Code:
    """What a checkpoint from elsewhere may hold: a function that runs when it is read."""

    path = "made_by_code"

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


def test_a_wrong_file_is_named_with_what_does_not_fit(pretrained, weights, file, monkeypatch):
    monkeypatch.chdir(file.parent)

    def message(content=None):
        if content is not None:
            torch.save(content, file)
        with pytest.raises(ConfigError) as refused:
            pretrained(RESNET, f"model.weights={file}")
        assert str(file) in str(refused.value)
        return str(refused.value)

    file.write_bytes(file.read_bytes()[:10_000])
    assert "is truncated or holds no weights" in message()
    file.write_text("<html>")
    assert "is truncated or holds no weights" in message()
    assert "holds no weights (it holds nothing)" in message({})
    assert "holds no weights (it holds epoch, net)" in message({"epoch": 1, "net": weights})
    assert "holds no weights" in message(weights | {"fc.bias": Code()})
    assert not Path(Code.path).exists()
    wider = {name: torch.cat([tensor, tensor]) if tensor.dim() else tensor for name, tensor in weights.items()}
    assert "does not fit model.backbone=test_resnet" in message(wider)
    assert "size mismatch for conv1.0.weight" in message(wider)
    assert 'Missing key(s) in state_dict: "bn1.weight"' in message(
        {name: tensor for name, tensor in weights.items() if name != "bn1.weight"}
    )
    other = message(timm.create_model("test_vit").state_dict())
    assert "Missing key(s)" in other
    assert len(other) < 800
    file.unlink()
    assert "does not exist" in message()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone=resnet_18", r"model.backbone must be .*, got 'resnet_18'; did you mean \w*resnet\w*\?"),
        ("model.backbone=resnet18.a1_in2k", r"got 'resnet18.a1_in2k'; did you mean resnet18.a1_in1k\?"),
        ("model.head_lr=0.0", "model.head_lr must be above 0"),
    ],
)
def test_a_wrong_value_is_named_by_its_key(pretrained, override, message):
    with pytest.raises(ConfigError, match=message):
        pretrained("model.weights=null", override)


def test_data_that_are_not_images_are_refused(pretrained):
    with pytest.raises(ConfigError, match=r"takes images \(C, H, W\), the data has \(13,\)"):
        pretrained("model.weights=null", input_shape=(13,))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """An empty cache and no network."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_without_a_network_it_says_which_file_to_bring(pretrained, offline):
    with pytest.raises(
        ConfigError, match=rf"test_resnet \({HUB_ID}\) are not on this machine(.|\n)*model.weights=path"
    ):
        pretrained(RESNET)


def test_a_backbone_without_published_weights_is_named(pretrained):
    with pytest.raises(ConfigError, match="timm has no weights for lcnet_035"):
        pretrained("model.backbone=lcnet_035")


def test_weights_downloaded_before_need_no_network(pretrained, weights, offline):
    folder = offline / f"models--{HUB_ID.replace('/', '--')}"
    (folder / "snapshots" / "0a1b").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0a1b")
    safetensors.save_file(weights, folder / "snapshots" / "0a1b" / "model.safetensors")
    assert kept(pretrained(RESNET), weights) == weights.keys() - HEAD


@pytest.fixture
def trained(compose_config, file):
    """Return a function that makes a short run from the file and loads its checkpoint once the file is gone."""

    def run(*overrides):
        short = ["trainer.max_epochs=1", "+trainer.limit_train_batches=6", "trainer.accelerator=cpu", "test=false"]
        train(cfg := compose_config("model=pretrained", RESNET, f"model.weights={file}", *short, *overrides))
        file.unlink()
        model = find(cfg.model._target_).load_from_checkpoint(Path(cfg.run_dir, "checkpoints", "last.ckpt"))
        assert model.hparams.weights is None
        return model

    return run


FIRST = {"conv1.0.weight"}  # another one for the single channel of the digits


def test_a_frozen_backbone_stays_as_it_was(trained, weights):
    model = trained("model.frozen=true")
    assert kept(model, weights) == weights.keys() - HEAD - FIRST
    assert {name for name, p in model.net.named_parameters() if p.requires_grad} == HEAD
    assert model.net.fc.training
    assert not model.net.bn1.training
    assert model.eval().net.fc.training is False


def test_all_of_a_backbone_that_is_not_frozen_is_trained(trained, weights):
    model = trained()
    assert all(p.requires_grad for p in model.parameters())
    assert kept(model, weights) == set()


def test_images_other_than_those_of_the_weights_are_said(pretrained, file, capsys):
    def said(*overrides, mean, **shape):
        pretrained(RESNET, *overrides, mean=mean, std=[0.5] * len(mean), **shape)
        return capsys.readouterr().out

    half = [0.5, 0.5, 0.5]  # as the backbone's own
    assert said(f"model.weights={file}", mean=half, input_shape=(3, 160, 160)) == ""
    assert said(f"model.weights={file}", mean=[0.5], input_shape=(1, 160, 160)) == ""
    assert said("model.weights=null", mean=[0.1] * 3) == ""
    other = said(f"model.weights={file}", mean=[0.1] * 3)
    assert "model.backbone=test_resnet was trained with size [160, 160], and the data has [32, 32]" in other
    assert "was trained with mean [0.5, 0.5, 0.5], and the data has [0.1, 0.1, 0.1]" in other


class Rates(Callback):
    """Remember the learning rate of each group in each step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen.append([group["lr"] for group in trainer.optimizers[0].param_groups])


@pytest.mark.parametrize("scheduler", ["onecycle", "cosine", "none"])
def test_the_head_has_a_learning_rate_of_its_own(compose_config, scheduler):
    overrides = [RESNET, "model.weights=null", "model.head_lr=0.05", "optimizer.lr=0.001", "trainer.max_epochs=2"]
    cfg = compose_config("model=pretrained", f"scheduler={scheduler}", *overrides, "trainer.accelerator=cpu")
    data, rates = build(cfg.data), Rates()
    off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "limit_val_batches": 0}
    Trainer(max_epochs=2, limit_train_batches=5, accelerator="cpu", callbacks=[rates], **off).fit(
        build_model(cfg, data), datamodule=data
    )
    assert len(rates.seen) == 10
    backbone, head = (torch.tensor(group) for group in zip(*rates.seen, strict=True))
    assert torch.allclose(head, 50 * backbone)
    assert head.max() == pytest.approx(0.05)
    assert (len(head.unique()) == 1) == (scheduler == "none")


def test_every_trained_parameter_is_in_one_group(pretrained):
    model = pretrained(RESNET, "model.weights=null")
    backbone, head = (group["params"] for group in model.parameter_groups())
    assert {id(p) for p in head} == {id(p) for p in model.net.fc.parameters()}
    assert sorted(map(id, [*backbone, *head])) == sorted(map(id, model.parameters()))
    (only,) = pretrained(RESNET, "model.weights=null", "model.frozen=true").parameter_groups()
    assert len(only["params"]) == 2
