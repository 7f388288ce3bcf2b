"""Object names that are not possible on a disk, in the output's or a checkpoint's folder of an object store.

They are put into moto's S3 directly, since no client would send them, and read with the real rclone.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto.s3.models import s3_backends  # type: ignore[import-untyped]
from moto.server import ThreadedMotoServer  # type: ignore[import-untyped]

from spotwave.node.contract import CHECKPOINT_DIR, LATEST_FILE, MANIFEST_FILE
from spotwave.node.storage import checkpoint
from spotwave.node.storage.remote import Remote
from spotwave.tasks.results.collect import NoResult, brought_home
from spotwave.tasks.results.fetch import MOST_FILES, NoRoom, listed, require_room
from tests.node.conftest import RCLONE
from tests.security.rows import Row
from tests.security.tried import params
from tests.tasks.test_quote import a_job

LEFT = "stays on the remote and is reported, the results are downloaded"
WHERE = "object of the remote"
OBJECTS: list[tuple[str, str]] = [
    ("output/..", "../evil"),
    ("into a folder and out of it", "dir/../../evil"),
    ("all the way up to the root", "../../../../../../../../tmp/evil"),
    ("the receipt's place, by a relative path", "../receipt.json"),
    ("the folder itself", "./dot"),
    ("an empty folder's name", "//double"),
    ("a name that ends with a slash", "closed/"),
    ("a line end", "a\nb"),
    ("a control character", "a\x01b"),
    ("255 bytes", "y" * 255),
    ("900 bytes", "z" * 900),
    ("the result file's name in capitals", "RESULT.json"),
    ("an object below the result file's name", "result.json/below"),
]
ROWS = [Row(WHERE, attack, LEFT) for attack, _ in OBJECTS]


@dataclass
class Store:
    """A bucket, and rclone's configuration for it."""

    bucket: str
    config: Path

    def put(self, key: str, data: bytes) -> None:
        s3_backends["123456789012"]["aws"].put_object(self.bucket, key, data)

    def remote(self, folder: str) -> Remote:
        return Remote(RCLONE, self.config, f"s3:{self.bucket}/{folder}")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    config = tmp_path_factory.mktemp("store") / "rclone.conf"
    config.write_text(
        f"[s3]\ntype = s3\nprovider = Other\nendpoint = http://127.0.0.1:{port}\nforce_path_style = true\n"
        "region = us-east-1\naccess_key_id = x\nsecret_access_key = y\n"
    )
    s3_backends["123456789012"]["aws"].create_bucket("hostile", "us-east-1")
    yield Store("hostile", config)
    server.stop()


@dataclass
class Collected:
    base: Path
    home: Path
    told: str


@pytest.fixture(scope="module")
def collected(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Collected:
    """Collect an output with all of these objects once."""
    base = tmp_path_factory.mktemp("collected")
    home = base / "results" / "sw-0123456789ab"
    home.mkdir(parents=True)
    (home / "receipt.json").write_text("ours")
    for _, name in OBJECTS:
        store.put(f"job/output/{name}", b"evil")
    store.put("job/output/receipt.json", b"a program's")
    store.put("job/output/result.json", json.dumps({"total_energy": -1.0}).encode())
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.Logger("collected")
    log.addHandler(handler)
    brought_home(store.remote("job"), a_job(results=home), [], None, log)
    return Collected(base, home, "\n".join(lines))


@pytest.mark.parametrize(("row", "name"), params(ROWS, (name for _, name in OBJECTS)))
def test_object_stays_on_remote(collected: Collected, row: Row, name: str) -> None:
    found = {path.relative_to(collected.base).as_posix() for path in collected.base.rglob("*") if path.is_file()}
    below = "results/sw-0123456789ab"
    assert found == {f"{below}/{one}" for one in ("receipt.json", "result.json", "output/result.json",
                                                  "output/receipt.json")}  # fmt: skip
    assert (collected.home / "receipt.json").read_text() == "ours"
    assert (collected.home / "output/receipt.json").read_text() == "a program's"
    assert not Path("/tmp/evil").exists()
    assert json.loads((collected.home / "result.json").read_text())["left_on_the_remote"] == {"output": len(OBJECTS)}
    shown = name.replace("..", "\uff0e\uff0e").strip("./\uff0e").split("\n")[0].split("\x01")[0]  # as rclone lists it
    assert shown[:100] in collected.told


def test_checkpoint_is_restored_despite_other_objects(store: Store, tmp_path: Path) -> None:
    """Only the files in the manifest are copied, not the whole folder of the generation."""
    remote = store.remote("other")
    (tmp_path / "state").write_text("state")
    checkpoint.seal(tmp_path / CHECKPOINT_DIR, "001-00001", {"state": tmp_path / "state"}, step="run_shci")
    folder = tmp_path / CHECKPOINT_DIR / "001-00001"
    for name in ("state", MANIFEST_FILE):
        store.put(f"other/{CHECKPOINT_DIR}/001-00001/{name}", (folder / name).read_bytes())
    store.put(f"other/{LATEST_FILE}", b"001-00001\n")
    for name in ("../evil", "a\nb", "dir/../../../evil"):
        store.put(f"other/{CHECKPOINT_DIR}/001-00001/{name}", b"evil")
    told: list[str] = []
    restored = checkpoint.restore(remote, tmp_path / "another", log=told.append)
    assert told == []
    assert restored is not None
    assert {path.name for path in (tmp_path / "another/001-00001").iterdir()} == {"state", MANIFEST_FILE}
    assert not list(tmp_path.rglob("evil"))


def test_invalid_result_gives_one_line(tmp_path: Path) -> None:
    remote = Remote(RCLONE, None, str(tmp_path / "remote"))
    (tmp_path / "remote/output/result.json/below").mkdir(parents=True)
    (tmp_path / "remote/output/result.json/below/file").touch()
    with pytest.raises(NoResult):
        brought_home(remote, a_job(results=tmp_path / "home"), [], None, logging.getLogger("test"))
    shutil.rmtree(tmp_path / "remote")
    for number, text in enumerate((b"[" * 100_000, b"[]", b"\xff", b"")):
        remote.write("output/result.json", text)
        with pytest.raises(NoResult):
            brought_home(remote, a_job(results=tmp_path / f"home-{number}"), [], None, logging.getLogger("test"))


def test_download_larger_than_disk_is_not_started(tmp_path: Path) -> None:
    """A sparse file needs no space on the remote's disk, but would be written in full on the controller."""
    output = tmp_path / "remote/output"
    output.mkdir(parents=True)
    (output / "result.json").write_text("{}")
    with (output / "huge").open("wb") as file:
        file.truncate(shutil.disk_usage(tmp_path).free + 10**9)
    home = tmp_path / "home"
    with pytest.raises(NoRoom, match=r"2 files of together \d+ bytes .* Free \d+ bytes") as caught:
        brought_home(
            Remote(RCLONE, None, str(tmp_path / "remote")), a_job(results=home), [], None, logging.getLogger("test")
        )
    assert "\n" not in str(caught.value)
    assert list(home.iterdir()) == []
    require_room(1000, 1, home)


def test_number_of_downloaded_files_is_limited(tmp_path: Path) -> None:
    folder = tmp_path / "remote/output"
    folder.mkdir(parents=True)
    for number in range(MOST_FILES + 500):
        (folder / f"{number:06d}").touch()
    (folder / "result.json").write_text("{}")
    found = listed(Remote(RCLONE, None, str(tmp_path / "remote")), "output", first="result.json")
    assert len(found.names) == MOST_FILES
    assert found.names[0] == "result.json"
    assert found.left_out_count == 501
