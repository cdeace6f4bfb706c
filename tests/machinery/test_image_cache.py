"""The cache of decoded images: when it is made, used and removed, and what a kill or a full disk leaves."""

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


from my_project.engine.errors import ConfigError

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
    path = root / "cat" / "0.png"
    status, content = path.stat(), path.read_bytes()
    path.write_bytes(bytes(len(content)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert build(root).splits["train"][:][0].any(dim=(1, 2, 3)).all()
    assert cached(root, ".*") == []


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
    with pytest.raises(ConfigError, match="train has no readable images of class 'dog'"):
        build(root, skip_unreadable=True)


@posix
def test_a_full_disk_is_one_message_and_leaves_nothing(root):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, limits[1]))
    try:
        with pytest.raises(ConfigError, match=r"File too large(.|\n)*30 images .* take 368.6 kB in data.cache_dir"):
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


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@posix
def test_what_a_killed_start_leaves_is_not_used_and_is_removed(root, in_process):
    os.mkfifo(root / "dog" / "z.png")  # whoever reads it waits
    process = in_process(root)
    wait_for(lambda: cached(root, ".*.unfinished"))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (root / "dog" / "z.png").unlink()
    build(root)
    assert cached(root, ".*.unfinished") == []
    assert len(cached(root)) == len(cached(root, "*.json")) == 1


@posix
def test_of_several_processes_one_decodes_and_the_others_wait(root, in_process):
    pipe = root / "dog" / "z.png"
    os.mkfifo(pipe)
    first = in_process(root, skip_unreadable=True)
    wait_for(lambda: cached(root, ".*.unfinished"))
    second = in_process(root, skip_unreadable=True)
    second.join(0.5)
    assert second.is_alive()
    pipe.write_bytes(b"")  # the first goes on; a second one to read the pipe would wait for ever
    for process in (first, second):
        process.join(60)
        assert process.exitcode == 0
    assert len(cached(root)) == 1
