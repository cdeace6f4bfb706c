"""How fast a generated project is: the work of users against the same work by hand, side by side, as ratios.

python3 -m uv run python benchmarks/speed.py                    # every row, a quarter of an hour on two slow cores
python3 -m uv run python benchmarks/speed.py --rows step start  # some
python3 -m uv run python benchmarks/speed.py --pairs 9

Each row is the median of the ratios of so many pairs of runs, taken in turn. benchmarks/README.md has the figures and says what
each row measures.
"""

import argparse
import contextlib
import io
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from cookiecutter.main import cookiecutter

ROWS = ("step", "resnet", "loader", "image_folder", "memory", "validation", "start", "gpu")
MLP = ["model=mlp", "model.hidden_sizes=[64,128,64]", "model.dropout=0.0", "data.batch_size=64", "data.val_fraction=0.01"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=ROWS)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peak", choices=("project", "bare"), help=argparse.SUPPRESS)  # a process of the memory row
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        print(peak(arguments.peak, arguments.folder))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = Path(cookiecutter(str(Path(__file__).parent.parent), no_input=True, output_dir=name))
        sys.path[:0] = [str(project), str(Path(__file__).parent.parent / "tests" / "machinery")]
        os.chdir(folder)
        be_quiet()
        import my_project.engine  # noqa: F401  (before torch, as in train.py: it sets how torch takes large memory)
        import torch

        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {arguments.pairs} pairs")
        for row in arguments.rows:
            for what, target, ratios in globals()[row](folder, arguments.pairs):
                low, high = min(ratios), max(ratios)
                print(f"{what}: {statistics.median(ratios):.2f} ({low:.2f} to {high:.2f}), target {target}", flush=True)


def be_quiet() -> None:
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)


def in_turn(pairs: int, *works: Callable[[], float]) -> list[list[float]]:
    """Do each work once to warm up, then so many rounds, in turn forwards and backwards; return the seconds of each."""
    for work in works:
        work()
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(pairs):
        for i in range(len(works))[:: 1 if number % 2 else -1]:
            seconds[i].append(works[i]())
    return seconds


def ratios(ours: list[float], other: list[float]) -> list[float]:
    return [a / b for a, b in zip(ours, other, strict=True)]


def random_files(name: str, folder: Path, shape: tuple[int, ...], num_train: int) -> list[str]:
    """Write random images in the format of a published data set and return the overrides that read them."""
    import numpy as np
    import published

    random = np.random.default_rng(0)
    splits = [
        (random.integers(256, size=(n, *shape), dtype=np.uint8), random.integers(10, size=n, dtype=np.uint8))
        for n in (num_train, 10_000)
    ]
    folder.mkdir(exist_ok=True)
    return published.write_samples(name, folder, *splits)


def mnist_files(folder: Path) -> list[str]:
    return [*random_files("mnist", folder / "mnist", (1, 28, 28), 60_000), "data.mean=[0.5]", "data.std=[0.25]"]


def composed(folder: Path, *overrides: str):
    from hydra import compose, initialize_config_dir
    from my_project.engine.hydra_version import VERSION_BASE

    common = [f"runs_dir={folder}/runs", "trainer.accelerator=cpu", "test=false"]
    with initialize_config_dir(str(folder / "my-project" / "configs"), **VERSION_BASE):
        return compose("train", overrides=[*common, *overrides])


def epochs_of_project(folder: Path, overrides: list[str], first: int = 0) -> float:
    """Train as `python train.py` does and return the mean seconds of an epoch's steps, from the `first`, without validation."""
    import lightning
    from my_project.engine.run import train
    from my_project.models.classifier import Classifier

    class Clock(lightning.Callback):
        seconds: list[float] = []
        validating = 0.0

        def on_train_epoch_start(self, *args) -> None:
            self.began, self.validating = time.perf_counter(), 0.0

        def on_validation_start(self, *args) -> None:
            self.validation_began = time.perf_counter()

        def on_validation_end(self, *args) -> None:
            self.validating += time.perf_counter() - self.validation_began

        def on_train_epoch_end(self, *args) -> None:
            self.seconds.append(time.perf_counter() - self.began - self.validating)

    clock = Clock()
    Classifier.configure_callbacks = lambda self: [clock]
    with contextlib.redirect_stdout(io.StringIO()):
        train(composed(folder, *overrides))
    return statistics.mean(clock.seconds[first:])


def step(folder: Path, pairs: int) -> Iterator[tuple]:
    """Two epochs of the MLP, with everything on that is on by default, the first steps and their checks included."""
    import by_hand
    from my_project.engine.build import build

    overrides = [*mnist_files(folder), *MLP, "trainer.max_epochs=2"]
    samples = build(composed(folder, *overrides).data).splits["train"][:]
    project, trainer, loop = in_turn(
        pairs,
        lambda: epochs_of_project(folder, overrides),
        lambda: statistics.mean(by_hand.bare_trainer(by_hand.mlp(), samples, 64, epochs=2)),
        lambda: statistics.mean(by_hand.loop(by_hand.mlp(), samples, 64, epochs=2)),
    )
    yield "MLP, a training step, against the bare Trainer", "1.10", ratios(project, trainer)
    yield "MLP, a training step, against a hand-written loop", "1.6", ratios(project, loop)
    yield "(the bare Trainer against the hand-written loop)", "-", ratios(trainer, loop)


def resnet(folder: Path, pairs: int) -> Iterator[tuple]:
    """Eight steps of ResNet-18 on 32x32 images in batches of 128."""
    import by_hand
    import published
    from my_project.engine.build import build
    from my_project.engine.build import build_model

    (folder / "cifar10").mkdir()
    files = published.write("cifar10", folder / "cifar10")
    overrides = [*files, "model=resnet", "trainer.max_epochs=1", "+trainer.limit_train_batches=6", "+trainer.limit_val_batches=1"]
    overrides += ["data.batch_size=128", "data.augment={}"]
    cfg = composed(folder, *overrides)
    data = build(cfg.data)
    images, labels = data.splits["train"][:]
    plain = images.contiguous(), labels
    project, same, contiguous = in_turn(
        pairs,
        lambda: epochs_of_project(folder, overrides),
        lambda: by_hand.loop(build_model(cfg, data), (images, labels), 128, epochs=1, limit=6)[0],
        lambda: by_hand.loop(build_model(cfg, data), plain, 128, epochs=1, limit=6)[0],
    )
    yield "ResNet-18, a training step, against a hand-written loop", "1.03", ratios(project, same)
    yield "(the same, the loop on images whose memory is (C, H, W))", "-", ratios(project, contiguous)


def seconds_per_sample(data) -> float:
    """Take every training batch once, as float32, normalized."""
    began, number = time.perf_counter(), 0
    for batch in data.train_dataloader():
        images, _ = data.on_after_batch_transfer(batch, 0)
        number += len(images)
    return (time.perf_counter() - began) / number


def loader(folder: Path, pairs: int) -> Iterator[tuple]:
    """Every training batch once, as float32, normalized: samples per second against torchvision's data set."""
    from my_project.engine.build import build
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import extract_archive

    data = build(composed(folder, *mnist_files(folder), "data.batch_size=64").data)
    for path in (folder / "mnist" / "MNIST" / "raw").glob("*.gz"):
        extract_archive(path, path.parent)
    change = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.25])])
    dataset = MNIST(folder / "mnist", train=True, transform=change)

    def torchvision(num_workers: int) -> float:
        began, number = time.perf_counter(), 0
        for images, _ in DataLoader(dataset, batch_size=64, shuffle=True, num_workers=num_workers):
            number += len(images)
            if number > 20_000:
                break
        return (time.perf_counter() - began) / number

    alone, none, two = in_turn(pairs, lambda: seconds_per_sample(data), lambda: torchvision(0), lambda: torchvision(2))
    best = [min(a, b) for a, b in zip(none, two, strict=True)]
    yield "loader alone, samples per second, against torchvision in a DataLoader", "at least 25", ratios(best, alone)


def image_folder(folder: Path, pairs: int) -> Iterator[tuple]:
    """A pass over 2 000 photographs from the cache, as float32, normalized, against decoding each of them again."""
    import numpy as np
    from my_project.engine.build import build
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    random = np.random.default_rng(0)
    for number in range(2000):
        path = folder / "photographs" / f"class_{number % 4}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(256, size=(47, 63, 3), dtype=np.uint8))
        image = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), dtype=np.int16)
        image = (image + random.integers(-8, 8, size=image.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).save(path, quality=85)
    files = ["data=image_folder", f"data.root={folder}/photographs", f"data.cache_dir={folder}/cache", "data.augment={}"]
    files += ["data.val_fraction=0.01", "data.test_fraction=0.01"]
    with contextlib.redirect_stdout(io.StringIO()):
        data = build(composed(folder, *files).data)
    size = [transforms.Resize(224), transforms.CenterCrop(224), transforms.ToTensor()]
    change = transforms.Compose([*size, transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    dataset = ImageFolder(folder / "photographs", transform=change)

    def decoding() -> float:
        began = time.perf_counter()
        for _ in DataLoader(dataset, batch_size=64, shuffle=True, num_workers=2):
            pass
        return (time.perf_counter() - began) / len(dataset)

    cached, decoded = in_turn(pairs, lambda: seconds_per_sample(data), decoding)
    yield "image_folder, an epoch after the first, times as fast as decoding", "at least 10", ratios(decoded, cached)


def memory(folder: Path, pairs: int) -> Iterator[tuple]:
    """Peak memory of a training process against that of a bare Trainer on a few samples, and the bytes of the data set."""
    mnist_files(folder)
    num_bytes = 70_000 * 28 * 28
    found = []
    for _ in range(pairs):
        command = [sys.executable, __file__, "--folder", str(folder), "--peak"]
        ours, bare = (
            int(subprocess.run([*command, kind], capture_output=True, text=True, check=True).stdout.split()[-1])
            for kind in ("project", "bare")
        )
        found.append(ours / (bare + num_bytes))
    yield "peak memory, against a bare Trainer and the bytes of the data set", "1.3", found


def peak(kind: str, folder: Path) -> int:
    """Train in this process and return its peak of memory in bytes."""
    import resource

    be_quiet()
    if kind == "bare":
        import by_hand
        import torch

        few = torch.randint(256, (6400, 1, 28, 28), dtype=torch.uint8), torch.randint(10, (6400,))
        by_hand.bare_trainer(by_hand.mlp(), few, 64, epochs=1)
    else:
        sys.path[:0] = [str(folder / "my-project"), str(Path(__file__).parent.parent / "tests" / "machinery")]
        files = ["data=mnist", f"data.root={folder}/mnist", "data.download=false"]
        epochs_of_project(folder, [*files, *MLP, "trainer.max_epochs=1"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def validation(folder: Path, pairs: int) -> Iterator[tuple]:
    """The 10 000 samples of the test split, by `Trainer.validate` and by a no_grad loop."""
    import by_hand
    import lightning
    from my_project.engine.build import build
    from my_project.engine.build import build_model

    cfg = composed(folder, *mnist_files(folder), *MLP)
    data = build(cfg.data)
    data.splits["val"] = data.splits["test"]
    model, samples = build_model(cfg, data), data.splits["test"][:]
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False)

    class Clock(lightning.Callback):
        def on_validation_start(self, *args) -> None:
            self.began = time.perf_counter()

        def on_validation_end(self, *args) -> None:
            self.seconds = time.perf_counter() - self.began

    clock = Clock()
    trainer.callbacks.append(clock)

    def ours() -> float:
        trainer.validate(model, datamodule=data, verbose=False)
        return clock.seconds

    project, same, large = in_turn(
        pairs,
        ours,
        lambda: by_hand.validate(by_hand.mlp(), samples, 64),
        lambda: by_hand.validate(by_hand.mlp(), samples, 512),
    )
    yield "validation of 10 000 samples against a no_grad loop with the batches of training", "1.2", ratios(project, same)
    yield "(against a no_grad loop in batches of 512)", "-", ratios(project, large)


def start(folder: Path, pairs: int) -> Iterator[tuple]:
    """Seconds from `python train.py` to its first training step, beyond `import lightning`."""
    script = """
import sys, time
import lightning
began = time.perf_counter()
class First(lightning.Callback):
    def on_train_batch_start(self, *args):
        print("seconds", time.perf_counter() - began, flush=True)
        raise SystemExit
import runpy
sys.path.insert(0, ".")
import lightning.pytorch.core.module
lightning.pytorch.core.module.LightningModule.configure_callbacks = lambda self: [First()]
sys.argv = ["train.py", "trainer.accelerator=cpu"]
runpy.run_path("train.py", run_name="__main__")
"""
    seconds = []
    for _ in range(pairs + 1):
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder / "my-project")
        seconds.append(float(done.stdout.split("seconds ")[1].split()[0]))
    yield "seconds from train.py to the first training step, beyond `import lightning`", "3", seconds[1:]


def gpu(folder: Path, pairs: int) -> Iterator[tuple]:
    """ResNet-18 on 50 000 images on the GPU: bf16-mixed, channels_last, compiled; the second and third epoch."""
    import by_hand
    import torch
    from my_project.engine.build import build
    from my_project.engine.build import build_model

    if not torch.cuda.is_available():
        print("gpu: not run, there is none")
        return
    files = [*random_files("cifar10", folder / "gpu", (3, 32, 32), 50_000), "data.batch_size=512"]
    overrides = [*files, "model=resnet", "model.compile=true", "trainer.max_epochs=3", "trainer.accelerator=gpu"]
    overrides += ["trainer.precision=bf16-mixed", "data.augment={}", "data.val_fraction=0.01"]
    cfg = composed(folder, *overrides)
    data = build(cfg.data)
    images, labels = (tensor.cuda() for tensor in data.splits["train"][torch.arange(len(data.splits["train"]))])

    def by_hand_on_gpu() -> float:
        model = build_model(cfg, data).cuda().to(memory_format=torch.channels_last)
        model.compile()
        with torch.autocast("cuda", torch.bfloat16):
            return statistics.mean(by_hand.loop(model, (images, labels), 512, epochs=3)[1:])

    project, loop = in_turn(pairs, lambda: epochs_of_project(folder, overrides, first=1), by_hand_on_gpu)
    yield "ResNet-18 on a GPU, images per second, against a hand-written loop", "at least 0.95", ratios(loop, project)


if __name__ == "__main__":
    main()
