"""A network of timm that starts from pretrained weights."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, Self

import torch
from torch import Tensor, nn

from <<cookiecutter.package>>.engine.console import say
from <<cookiecutter.package>>.engine.errors import ConfigError
from <<cookiecutter.package>>.engine.targets import did_you_mean
from <<cookiecutter.package>>.models.classifier import Classifier

try:
    import timm
except ModuleNotFoundError as error:
    raise ConfigError(f'needs {error.name}: uv sync --extra pretrained, or pip install -e ".[pretrained]"') from error


class Pretrained(Classifier):
    """A backbone and a head for the classes of the data; the first layer fits the channels of the data.

    The weights are needed once: a checkpoint holds all of them, and `load_from_checkpoint` reads no others.

    Args:
        input_shape: (C, H, W) of one image, from the data.
        backbone: a name of `timm.list_models()`, also with a tag that names certain weights.
        weights: "timm" for those of the backbone, downloaded and cached; the path of a file; None for random ones.
        frozen: train the head only. The rest stays in eval mode, so that its batch norms do not change either.
        head_lr: learning rate of the head; None: that of the optimizer, as for the backbone.
        mean: by which the images are normalized, from the data.
        std: the same.
    """

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        backbone: str = "resnet18",
        weights: str | None = "timm",
        frozen: bool = False,
        head_lr: float | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        if head_lr is not None and head_lr <= 0:
            raise ConfigError(f"model.head_lr must be above 0, or null for optimizer.lr, got {head_lr}")
        self.net = random_net(backbone, input_shape, self.hparams.num_classes)
        if weights is not None:
            self.net = pretrained_net(backbone, weights, input_shape, self.hparams.num_classes)
            self.hparams["weights"] = None  # what a checkpoint records: it holds them itself
            say_mismatch(backbone, size=input_shape[1:], mean=mean, std=std)
        if frozen:
            self.net.requires_grad_(False)
            for layer in classifiers(self.net):
                layer.requires_grad_(True)
        self.train()  # Lightning does not call it before the first epoch

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W), float32, to logits (B, num_classes)."""
        return self.net(images)

    def train(self, mode: bool = True) -> Self:
        """Switch between train and eval mode; what is frozen stays in eval mode."""
        super().train(mode)
        for part in self.net.modules() if self.hparams.frozen else ():
            tensors = [*part.parameters(), *part.buffers()]
            if tensors and not any(tensor.requires_grad for tensor in tensors):
                part.eval()
        return self

    def parameter_groups(self) -> Iterable[dict[str, Any]]:
        """Return the trained parameters of the backbone, if any, and those of the head."""
        head = [p for layer in classifiers(self.net) for p in layer.parameters()]
        known = {id(p) for p in head}
        backbone = [p for p in self.parameters() if p.requires_grad and id(p) not in known]
        head_lr = {} if self.hparams.head_lr is None else {"lr": self.hparams.head_lr}
        return [group for group in ({"params": backbone}, {"params": head} | head_lr) if group["params"]]


def random_net(backbone: str, input_shape: Sequence[int], num_classes: int) -> nn.Module:
    """Return a backbone with random weights that is known to take the images.

    Raises:
        ConfigError: there is no such backbone, or it is made for other images.
    """
    if len(input_shape) != 3:
        raise ConfigError(f"model=pretrained takes images (C, H, W), the data has {tuple(input_shape)}")
    names = {*timm.list_models(), *timm.list_models(pretrained=True)}
    if backbone not in names:
        got = f"{backbone!r}{did_you_mean(backbone, names)}"
        raise ConfigError(f"model.backbone must be a name of timm.list_models(), got {got}")
    try:
        net: Any = timm.create_model(backbone, num_classes=num_classes, **options(backbone, input_shape))
        with torch.no_grad():
            shape = net.eval()(torch.zeros(1, *input_shape)).shape
        if shape != (1, num_classes):
            raise ValueError(f"its output is {tuple(shape)}, not {(1, num_classes)}")
    except Exception as error:  # a thousand backbones, each with errors of its own
        size = "x".join(map(str, input_shape))
        raise ConfigError(
            f"model.backbone={backbone} cannot classify images of {size} (C x H x W): {brief(error)}\n"
            "Most are made for about 3x224x224. Choose larger images, if the data can give them, or another backbone"
        ) from error
    return net


def pretrained_net(backbone: str, weights: str, input_shape: Sequence[int], num_classes: int) -> nn.Module:
    """Return a backbone with its weights loaded strictly, and a new head unless theirs has as many classes.

    Raises:
        ConfigError: the weights cannot be had, or are not of this backbone.
    """
    cfg: Any = timm.get_pretrained_cfg(backbone)
    if weights == "timm" and not cfg.has_weights:
        raise ConfigError(f"model.weights=timm: timm has no weights for {backbone}: choose null or the path of a file")
    overlay = {} if weights == "timm" else from_file(Path(weights), classifier_names(cfg.classifier)[0])
    fit = options(backbone, input_shape)
    try:
        net: Any = timm.create_model(backbone, pretrained=True, pretrained_cfg_overlay=overlay, **fit)
    except Exception as error:
        wrong = f"model.weights={weights} does not fit model.backbone={backbone}: {brief(error)}"
        if weights == "timm":
            wrong = (
                f"model.weights=timm: the weights of {backbone} ({cfg.hf_hub_id or cfg.url}) are not on "
                f"this machine and cannot be downloaded: {brief(error)}\n"
                "Fetch the file on another machine and name it here, model.weights=path/of/model.safetensors, "
                "or begin from random weights, model.weights=null"
            )
        raise ConfigError(wrong) from error
    net.pretrained_cfg.pop("state_dict", None)  # a second copy of the weights
    if net.num_classes != num_classes:
        net.reset_classifier(num_classes)
    return net


def say_mismatch(backbone: str, **given: Sequence[float] | None) -> None:
    """Say in what the images differ from those that the weights of a backbone were trained with."""
    cfg: Any = timm.get_pretrained_cfg(backbone)
    usual = {"size": cfg.input_size[1:], "mean": cfg.mean, "std": cfg.std}
    for name, ours in given.items():
        theirs = [sum(usual[name]) / 3] if len(ours or ()) == 1 else list(usual[name])  # of gray images
        if any(abs(a - b) > 0.04 for a, b in zip(ours or (), theirs, strict=False)):
            say(f"model.backbone={backbone} was trained with {name} {theirs}, and the data has {list(ours or ())}")


def from_file(path: Path, classifier: str) -> dict[str, Any]:
    """Read weights as plain data and say how many classes they tell apart, 0 without a classifier."""
    if not path.is_file():
        raise ConfigError(f"model.weights={path} does not exist (relative to {Path.cwd()}): timm, null or a file")
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)
        if not all(isinstance(tensor, Tensor) for tensor in state.values()) or not state:
            raise ValueError(f"it holds {', '.join(map(str, state)) or 'nothing'}")
    except Exception as error:
        raise ConfigError(f"model.weights={path} is truncated or holds no weights ({brief(error)})") from error
    num_classes = len(state.get(f"{classifier}.weight", ()))
    return {"state_dict": state, "num_classes": num_classes, "label_offset": 0}


def options(backbone: str, input_shape: Sequence[int]) -> dict[str, Any]:
    """Return the arguments that fit a backbone to the images; those with a fixed size are told theirs."""
    channels, *size = input_shape
    cfg: Any = timm.get_pretrained_cfg(backbone)
    return {"in_chans": channels} | ({"img_size": tuple(size)} if cfg.fixed_input_size else {})


def classifiers(net: Any) -> list[nn.Module]:
    """Return the last layers of a timm model; a distilled one has two."""
    return [net.get_submodule(name) for name in classifier_names(net.pretrained_cfg["classifier"])]


def classifier_names(names: str | Sequence[str]) -> Sequence[str]:
    return (names,) if isinstance(names, str) else names


def brief(error: Exception) -> str:
    """Return the beginning of an error that may name every layer."""
    return shorten(str(error) or type(error).__name__, width=400, placeholder=" ...")
