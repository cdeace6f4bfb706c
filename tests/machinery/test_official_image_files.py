"""The files of MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100: formats, downloads, and what is said of a wrong one."""

import gzip
import multiprocessing
import pickle
import sys
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

pytest.importorskip("torchvision")

from my_project.data.images.official_images import PublishedFile, fetch, provide
from my_project.engine.build import build
from my_project.engine.errors import ConfigError
from torchvision.datasets.utils import calculate_md5

from . import published as tiny

ARCHIVE = "cifar-10-python.tar.gz"
IMAGES = "MNIST/raw/train-images-idx3-ubyte.gz"
LABELS = "MNIST/raw/train-labels-idx1-ubyte.gz"


@pytest.fixture
def read(compose_config, tmp_path):
    """Return a function that builds the data of a name from the files in the test's own folder."""
    return lambda name, *more: build(
        compose_config(f"data={name}", f"data.root='{tmp_path}'", "data.download=false", *more).data
    )


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_extracted_files_are_read_where_the_compressed_ones_are_missing(read, tmp_path, name):
    tiny.write(name, tmp_path)
    expected = read(name).split_sha256
    for path in list(tmp_path.rglob("*.gz")):
        if name == "mnist":
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        else:
            with tarfile.open(path) as archive:
                archive.extractall(tmp_path, filter="data")
        path.unlink()
    assert read(name).split_sha256 == expected
    path = max(path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=f"{path} cannot be read"):
        read(name)


def test_a_batch_written_by_python_3_is_read_and_one_with_code_is_refused_before_it_runs(read, tmp_path, capsys):
    train, test = tiny.samples("cifar100")
    (tmp_path / "cifar-100-python").mkdir()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        for split, (images, labels) in (("train", train), ("test", test)):
            batch = {"data": images.reshape(len(images), -1), "fine_labels": labels.tolist()}
            (tmp_path / "cifar-100-python" / split).write_bytes(pickle.dumps(batch, protocol))
        assert (read("cifar100").splits["test"][:][0].numpy() == test[0]).all()
    (tmp_path / "cifar-100-python" / "test").write_bytes(b"cbuiltins\nprint\n(S'it runs'\ntR.")
    with pytest.raises(ConfigError, match=r"cifar-100-python/test cannot be read .*builtins.print"):
        read("cifar100")
    assert "it runs" not in capsys.readouterr().out


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def batch_of(rows: int, labels: list[int]) -> bytes:
    return tiny.python_2_pickle(np.zeros((rows, 3072), np.uint8), np.array(labels, int), "labels")


def test_a_file_that_is_damaged_or_another_one_is_named(compose_config, tmp_path):
    compressed = {
        "empty": b"",
        "no archive": b"<html>Not found</html>",
        "no tar, no IDX": gzip.compress(b"text" * 500),
        "no batches": tiny.tar_of({"readme": b"text"}),
    }
    whole = {}
    for name, file in (("mnist", IMAGES), ("mnist", LABELS), ("cifar10", ARCHIVE)):
        tiny.write(name, tmp_path)
        whole[file] = (tmp_path / file).read_bytes()
    cases = [(file, content) for file in whole for content in compressed.values()]
    cases += [(file, content[:-n]) for file, content in whole.items() for n in (1, 8, 100, len(content) - 20)]
    cases += [(file, flip(content, place)) for file, content in whole.items() for place in (-5, len(content) // 2)]
    header = b"\0\0\x08\3" + b"\xff" * 12
    cases += [(IMAGES, gzip.compress(content)) for content in (header, tiny.idx(np.zeros((200, 28, 27), np.uint8)))]
    cases.append((IMAGES, gzip.compress(b"\0\0\x0d" + tiny.idx(tiny.samples("mnist")[0][0][:, 0])[3:])))  # says float32
    labels = [np.arange(199) % 10, np.full(200, 10), np.zeros((200, 1))]
    cases += [(LABELS, gzip.compress(tiny.idx(wrong.astype(np.uint8)))) for wrong in labels]
    others = {f"x/data_batch_{i}": batch_of(2, [0, 1]) for i in range(1, 6)}
    batches = [batch_of(2, [0]), batch_of(2, [0, 10]), batch_of(0, []), b"\x80\x02}.", pickle.dumps({"data": 1})]
    cases += [(ARCHIVE, tiny.tar_of(others | {"x/test_batch": wrong})) for wrong in batches]
    configs = {name: compose_config(f"data={name}", f"data.root='{tmp_path}'").data for name in ("mnist", "cifar10")}
    for file, content in cases:
        (tmp_path / file).write_bytes(content)
        with pytest.raises(ConfigError, match=f"{tmp_path / file} cannot be read .*delete it to download it again"):
            build(configs["cifar10" if file == ARCHIVE else "mnist"])
        (tmp_path / file).write_bytes(whole[file])
    (tmp_path / ARCHIVE).unlink()
    (tmp_path / ARCHIVE).mkdir()
    with pytest.raises(ConfigError, match=f"{ARCHIVE} cannot be read .*Is a directory"):
        build(configs["cifar10"])


@pytest.mark.parametrize(("name", "number"), [("mnist", 4), ("cifar100", 1)])
def test_missing_files_are_named_with_their_folder(read, tmp_path, name, number):
    with pytest.raises(ConfigError) as error:
        read(name)
    assert not list(tmp_path.iterdir())
    tiny.write(name, tmp_path)
    assert f"{number} of {number} files are missing" in str(error.value)
    assert str(tmp_path) in str(error.value)
    for path in tmp_path.rglob("*.gz"):
        assert f"\n  {path.relative_to(tmp_path)} (from http" in str(error.value)


@pytest.fixture
def server(tmp_path) -> Iterator[ThreadingHTTPServer]:
    """Serve what is in `there`, and count what has been asked for; `cut` sends all but the last bytes."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked += 1
            super().do_GET()

        def copyfile(self, source, outputfile) -> None:
            with suppress(ConnectionError):  # torchvision asks first where the address leads, and hangs up
                outputfile.write(source.read()[: -100 if web.cut else None])

        def log_message(self, *args, **options) -> None:
            return

    web = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path / "there")))
    web.asked, web.cut = 0, False
    Thread(target=web.serve_forever, args=(0.05,), daemon=True).start()
    yield web
    web.shutdown()


@pytest.fixture
def published(tmp_path, server) -> PublishedFile:
    tiny.write("cifar10", tmp_path / "there")
    md5 = calculate_md5(tmp_path / "there" / ARCHIVE)
    return PublishedFile(ARCHIVE, md5, f"http://127.0.0.1:{server.server_port}/{ARCHIVE}", extracted=["nothing"])


def test_a_download_is_whole_even_after_one_that_was_killed(tmp_path, published):
    path = tmp_path / "here" / ARCHIVE
    unfinished = path.with_name(f".{ARCHIVE}.unfinished")
    unfinished.mkdir(parents=True)
    (unfinished / ARCHIVE).write_bytes(b"half")
    fetch(published, path)
    assert path.read_bytes() == (tmp_path / "there" / ARCHIVE).read_bytes()
    assert list(path.parent.iterdir()) == [path]


def test_a_download_that_breaks_off_or_cannot_be_written_is_said_and_leaves_nothing(tmp_path, published, server):
    server.cut = True
    with pytest.raises(ConfigError, match=rf"here/{ARCHIVE} cannot be downloaded: .*corrupted.*\n  {ARCHIVE} \(from"):
        provide([published], tmp_path / "here", download=True)
    assert list((tmp_path / "here").iterdir()) == []
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match=rf"{ARCHIVE} cannot be downloaded: .*(Not a directory|File exists)"):
        provide([published], tmp_path / "file", download=True)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_several_processes_download_a_file_once(tmp_path, published, server):
    fetch(published, tmp_path / "first" / ARCHIVE)
    once, server.asked = server.asked, 0
    path = tmp_path / "here" / ARCHIVE
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=fetch, args=(published, path)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 3
    assert list(path.parent.iterdir()) == [path]
    assert server.asked == once
