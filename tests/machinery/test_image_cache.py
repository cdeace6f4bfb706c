"""The cache of decoded images: when it is made, used and removed, and what a kill or a full disk leaves."""

import errno
import multiprocessing
import os
import pickle
import signal
import sys
import time

import numpy as np
import pytest
import torch

pytest.importorskip("PIL")


from my_project.data.images.read_image import read_image
from my_project.engine.errors import ConfigError
from PIL import Image

from .image_folders import build, make, save

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and signals of POSIX")


@pytest.fixture
def root(tmp_path):
    return make(tmp_path / "root", "cat/*20", "dog/*10")


def cached(root, kind="*.uint8"):
    return sorted(path.name for path in (root.parent / "cache").glob(kind))


def test_streaming_serves_the_batches_of_the_cache_and_keeps_no_pixels(root):
    streamed = build(root, cache=False, num_workers=2).train_dataloader()
    assert cached(root) == []
    assert sum(path.stat().st_size for path in (root.parent / "cache").iterdir()) < 2000
    pairs = list(zip(streamed, build(root).train_dataloader(), strict=True))
    assert len(pairs) == 6
    assert all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def test_a_cache_is_read_from_the_disk_by_every_process(root):
    dataset = build(root).splits["train"].dataset
    assert not dataset.pixels.flags.writeable
    content = pickle.dumps(dataset)
    assert len(content) < dataset.pixels.nbytes
    assert np.array_equal(pickle.loads(content).pixels, dataset.pixels)


def test_a_second_start_decodes_nothing_and_writes_nothing(root):
    build(root)
    for lock in (root.parent / "cache").glob(".*.lock"):
        lock.unlink()
    written = {path: path.stat().st_mtime_ns for path in (root.parent / "cache").iterdir()}
    build(root)
    assert {path: path.stat().st_mtime_ns for path in (root.parent / "cache").iterdir()} == written


def pixels(data):
    return torch.cat([data.splits[name][:][0] for name in ("train", "val", "test")])


def overwrite(root):
    (path,) = (root.parent / "cache").glob("*.uint8")
    path.write_bytes(bytes(path.stat().st_size))


def overwrite_one(root):
    (path,) = (root.parent / "cache").glob("*.uint8")
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)


def cut(root):
    (path,) = (root.parent / "cache").glob("*.uint8")
    os.truncate(path, path.stat().st_size - 8)


def empty(root):
    (path,) = (root.parent / "cache").glob("*.json")
    path.write_text("")


def spoil(root):
    (path,) = (root.parent / "cache").glob("*.json")
    path.write_text("[]")


@pytest.mark.parametrize("damage", [overwrite, overwrite_one, cut, empty, spoil])
def test_a_cache_that_is_not_what_was_written_is_made_again(root, damage):
    before = pixels(build(root))
    damage(root)
    assert torch.equal(pixels(build(root)), before)


def test_an_image_replaced_by_another_of_the_same_size_and_time_is_noticed(root):
    before = build(root).split_sha256
    path = root / "cat" / "0.png"
    status, content = path.stat(), path.read_bytes()
    other = save(root.parent / "other.png", Image.new("RGB", (9, 9), (255, 254, 253))).read_bytes()
    path.write_bytes(
        other[:-12] + bytes(len(content) - len(other)) + other[-12:] if len(other) < len(content) else other
    )
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert build(root, skip_unreadable=True).split_sha256 != before


@posix
def test_a_file_that_could_not_be_opened_is_tried_again(root, monkeypatch):
    def refuse(path):
        if str(path).endswith("cat/0.png"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open(path, "rb")

    with monkeypatch.context() as patch:
        patch.setattr("my_project.data.images.read_image.open_file", refuse)
        patch.setattr("my_project.data.images.image_cache.open_file", refuse)
        with pytest.raises(ConfigError, match=r"1 of 30 images cannot be read:\n  'cat/0.png': Permission denied"):
            build(root)
        assert len(pixels(build(root, skip_unreadable=True))) == 29
    assert len(pixels(build(root))) == 30


def add(root):
    save(root / "cat" / "new.png")


def remove(root):
    (root / "cat" / "0.png").unlink()


def touch(root):
    os.utime(root / "cat" / "0.png", ns=(1, 1))


@pytest.mark.parametrize("change", [add, remove, touch])
def test_changed_files_are_decoded_again_and_replace_the_former_cache(root, change):
    build(root)
    build(root, size=4)
    before = cached(root)
    change(root)
    build(root)
    assert len(cached(root)) == len(cached(root, "*.json")) == 2
    assert len(set(cached(root)) & set(before)) == 1  # that of the other size


def test_damaged_files_are_an_error_or_left_out_and_are_remembered(root, capsys):
    for i in range(12):
        (root / "cat" / f"bad {i}.jpg").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"12 of 42 images(.|\n)*'cat/bad 0.jpg': empty(.|\n)*2 more") as error:
            build(root)
        assert str(error.value).count("empty file") == 10
        data = build(root, skip_unreadable=True)
        assert sum(len(dataset.indices) for dataset in data.splits.values()) == 30
        assert "12 of 42 images cannot be read" in capsys.readouterr().out
        assert len(cached(root)) == 1
    with pytest.raises(ConfigError, match="12 of 42"):
        build(root, cache=False)
    for path in (root / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"needs 3 readable images .*: 'dog' has 0"):
        build(root, skip_unreadable=True)


@posix
def test_a_full_disk_is_one_message_and_leaves_nothing(root):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, limits[1]))
    try:
        with pytest.raises(ConfigError, match=r"File too large(.|\n)*30 images .* take 369kB in data.cache_dir"):
            build(root, size=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.suffix for path in (root.parent / "cache").iterdir()] == [".lock"]


@pytest.fixture
def in_process():
    """Run `build` in a process of its own."""
    started = []

    def start(root, **options):
        process = multiprocessing.get_context("fork").Process(target=build, args=(root,), kwargs=options)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def gate(root, monkeypatch):
    """A file, while which exists the last image is not read."""
    path, last = root.parent / "gate", save(root / "dog" / "z.png")

    def read(image, **options):
        while image == last and path.exists():
            time.sleep(0.01)
        return read_image(image, **options)

    path.touch()
    monkeypatch.setattr("my_project.data.images.image_cache.read_image", read)
    return path


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@posix
def test_what_a_killed_start_leaves_is_not_used_and_is_removed(root, in_process, gate):
    process = in_process(root)
    wait_for(lambda: cached(root, ".*.unfinished"))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    gate.unlink()
    build(root)
    assert cached(root, ".*.unfinished") == []
    assert len(cached(root)) == len(cached(root, "*.json")) == 1


@posix
def test_of_several_processes_one_decodes_and_the_others_wait(root, in_process, gate):
    first = in_process(root)
    wait_for(lambda: cached(root, ".*.unfinished"))
    second = in_process(root)
    second.join(0.5)
    assert second.is_alive()
    gate.unlink()
    for process in (first, second):
        process.join(60)
        assert process.exitcode == 0
    assert len(cached(root)) == 1
