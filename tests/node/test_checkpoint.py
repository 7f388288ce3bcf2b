from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from spotwave.node.storage.checkpoint import (
    CheckpointCorrupt,
    generation_name,
    latest,
    newest,
    next_generation,
    prune,
    push,
    read_manifest,
    restore,
    seal,
    verify,
)
from spotwave.node.storage.remote import Remote, RemoteAbsent, RemoteDiffers, RemoteError
from tests.node.conftest import RCLONE, Servers


def sealed(folder: Path, generation: str, content: str = "") -> Path:
    """Seal a generation with two files, written as a program should: replaced, not modified in place."""
    work = folder.parent / "work"
    (work / "dice").mkdir(parents=True, exist_ok=True)
    for name in ("scf.chk", "dice/a.bkp"):
        part = work / f"{name}.part"
        part.write_text(f"{name} {content or generation}")
        part.replace(work / name)
    files = {name: work / name for name in ("scf.chk", "dice/a.bkp")}
    return seal(folder, generation, files, {"energy": -1.5, "of": generation}, step="run_shci")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "first/checkpoint"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """Checkpoint folder of a new machine."""
    return tmp_path / "second/checkpoint"


def test_names_sort_in_order_of_creation() -> None:
    made = [generation_name(a, c) for a, c in ((1, 1), (1, 9), (1, 10), (1, 99999), (2, 1), (10, 1))]
    assert made == sorted(made)
    assert made[1] == "001-00009"
    for attempt, count in ((0, 1), (1, 0), (1000, 1), (1, 100000)):
        with pytest.raises(ValueError, match="generation"):
            generation_name(attempt, count)


def test_generations_are_counted_within_the_attempt(here: Path) -> None:
    assert next_generation(here, 1) == "001-00001"
    sealed(here, "001-00004")
    assert next_generation(here, 1) == "001-00005"
    assert next_generation(here, 2) == "002-00001"


def test_a_sealed_generation_can_be_verified(here: Path) -> None:
    path = sealed(here, "001-00001")
    manifest = verify(path, "001-00001")
    assert manifest == read_manifest(path)
    assert manifest.facts == {"energy": -1.5, "of": "001-00001"}
    assert manifest.step == "run_shci"
    assert set(manifest.files) == {"scf.chk", "dice/a.bkp"}
    assert newest(here) == path
    assert [p.name for p in here.iterdir()] == ["001-00001"]


def test_sealing_uses_hard_links_that_survive_replacement(here: Path) -> None:
    first = sealed(here, "001-00001")
    assert os.stat(first / "scf.chk").st_ino == os.stat(here.parent / "work/scf.chk").st_ino
    sealed(here, "001-00002")
    assert verify(first).files != verify(here / "001-00002").files


def test_two_generations_are_kept_on_the_machine(here: Path) -> None:
    for count in range(1, 5):
        sealed(here, generation_name(1, count))
    assert sorted(p.name for p in here.iterdir()) == ["001-00003", "001-00004"]
    prune(here, 1)
    assert sorted(p.name for p in here.iterdir()) == ["001-00004"]


def test_a_failed_seal_leaves_nothing(here: Path, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    with pytest.raises(FileNotFoundError):
        seal(here, "001-00001", {"a": tmp_path / "a", "b": tmp_path / "missing"})
    assert newest(here) is None
    assert list(here.iterdir()) == []
    for files in ({}, {"../a": tmp_path / "a"}, {"manifest.json": tmp_path / "a"}):
        with pytest.raises(ValueError, match="file"):
            seal(here, "001-00001", files)
    with pytest.raises(ValueError, match="generation"):
        seal(here, "7", {"a": tmp_path / "a"})
    sealed(here, "001-00001")
    with pytest.raises(FileExistsError):
        sealed(here, "001-00001")


@pytest.mark.parametrize("damage", ["size", "bytes", "missing", "no manifest", "half manifest", "fact", "other"])
def test_damage_is_detected(here: Path, damage: str) -> None:
    path = sealed(here, "001-00001")
    file, manifest = path / "dice/a.bkp", path / "manifest.json"
    match damage:
        case "size":
            file.write_text("short")
        case "bytes":
            file.write_text("dice/a.bkp 001-0000X")
        case "missing":
            file.unlink()
        case "no manifest":
            manifest.unlink()
        case "half manifest":
            manifest.write_text(manifest.read_text()[:100])
        case "fact":
            manifest.write_text(manifest.read_text().replace("-1.5", "-1.6"))
        case "other":
            path = path.rename(here / "001-00002")
    with pytest.raises(CheckpointCorrupt):
        verify(path, path.name)


def test_a_new_machine_resumes_from_the_checkpoint(remote: Remote, here: Path, there: Path) -> None:
    assert restore(remote, there) is None
    sealed(here, "001-00001")
    assert push(remote, here, "001-00001")
    sealed(here, "001-00002")
    assert push(remote, here, "001-00002")
    manifest = restore(remote, there)
    assert manifest is not None
    assert manifest.generation == "001-00002"
    assert (there / "001-00002/scf.chk").read_text() == "scf.chk 001-00002"
    assert newest(there) == there / "001-00002"
    assert latest(remote) == "001-00002"
    sealed(there, next_generation(there, 2))
    assert push(remote, there, "002-00001")
    assert latest(remote) == "002-00001"


def test_two_generations_are_kept_on_the_remote(local_remote: Remote, here: Path) -> None:
    for count in range(1, 5):
        sealed(here, generation_name(1, count))
        push(local_remote, here, generation_name(1, count))
    assert {e.path for e in local_remote.list("checkpoint")} == {"001-00003", "001-00004", "LATEST"}


def test_pushing_again_is_safe(local_remote: Remote, here: Path) -> None:
    sealed(here, "001-00001")
    assert push(local_remote, here, "001-00001")
    assert push(local_remote, here, "001-00001")
    assert sorted(p.name for p in here.iterdir()) == [".verified", "001-00001"]


def test_latest_never_goes_backwards(local_remote: Remote, here: Path, there: Path) -> None:
    """A machine that was given up returns and pushes its checkpoint after its successor has pushed."""
    sealed(here, "001-00001")
    push(local_remote, here, "001-00001")
    restore(local_remote, there)
    sealed(here, "001-00009")
    sealed(there, "002-00001")
    assert push(local_remote, there, "002-00001")
    assert not push(local_remote, here, "001-00009")
    assert latest(local_remote) == "002-00001"
    assert local_remote.read("checkpoint/002-00001/manifest.json") is not None


def test_latest_does_not_go_backwards_during_a_slow_upload(
    local_remote: Remote, here: Path, there: Path, tmp_path: Path
) -> None:
    """The successor pushes during the upload: LATEST is read again before it is written."""
    sealed(here, "001-00001")
    sealed(there, "002-00001")
    slow = tmp_path / "rclone"
    code = (
        "import sys; from pathlib import Path; from spotwave.node.storage.checkpoint import push; "
        "from spotwave.node.storage.remote import Remote; "
        "push(Remote(sys.argv[1], None, sys.argv[2]), Path(sys.argv[3]), '002-00001')"
    )
    slow.write_text(
        f'#!/bin/bash\nset -e\n"{RCLONE}" "$@"\n'
        f'if [[ $1 == check ]]; then "$PYTHON" -c "{code}" "{RCLONE}" "{local_remote.root}" "{there}" </dev/null; fi\n'
    )
    slow.write_text(slow.read_text().replace("$PYTHON", sys.executable))
    slow.chmod(0o755)
    assert not push(Remote(slow, None, local_remote.root), here, "001-00001")
    assert latest(local_remote) == "002-00001"


def test_a_damaged_newest_generation_is_skipped(local_remote: Remote, here: Path, there: Path) -> None:
    for name in ("001-00001", "001-00002"):
        sealed(here, name)
        push(local_remote, here, name)
    local_remote.write("checkpoint/001-00002/scf.chk", b"scf.chk 001-0000X")
    skipped: list[str] = []
    manifest = restore(local_remote, there, skipped.append)
    assert manifest is not None
    assert manifest.generation == "001-00001"
    assert len(skipped) == 1
    assert "001-00002" in skipped[0]
    assert "scf.chk" in skipped[0]
    # A generation found damaged must not become the fallback of the next machine.
    sealed(there, "002-00001")
    push(local_remote, there, "002-00001")
    assert {e.path for e in local_remote.list("checkpoint") if e.is_dir} == {"001-00001", "002-00001"}


def test_a_missing_newest_generation_is_skipped(local_remote: Remote, here: Path, there: Path) -> None:
    for name in ("001-00001", "001-00002"):
        sealed(here, name)
        push(local_remote, here, name)
    local_remote.purge("checkpoint/001-00002")
    skipped: list[str] = []
    manifest = restore(local_remote, there, skipped.append)
    assert manifest is not None
    assert manifest.generation == "001-00001"
    assert "001-00002" in skipped[0]


def test_an_incomplete_upload_is_not_a_checkpoint(local_remote: Remote, here: Path, there: Path) -> None:
    """Killed during its first upload: LATEST does not exist, so the work restarts from the beginning."""
    path = sealed(here, "001-00001")
    local_remote.upload(path / "manifest.json", "checkpoint/001-00001/manifest.json")
    skipped: list[str] = []
    assert restore(local_remote, there, skipped.append) is None
    assert len(skipped) == 1
    assert newest(there) is None


def test_a_damaged_generation_that_latest_names_is_an_error(local_remote: Remote, here: Path, there: Path) -> None:
    sealed(here, "001-00001")
    push(local_remote, here, "001-00001")
    local_remote.delete("checkpoint/001-00001/scf.chk")
    with pytest.raises(CheckpointCorrupt, match="001-00001"):
        restore(local_remote, there)


def test_a_complete_upload_without_latest_is_used(local_remote: Remote, here: Path, there: Path) -> None:
    """Killed between the upload and LATEST: the checksums show that it is complete."""
    path = sealed(here, "001-00001")
    local_remote.upload(path, "checkpoint/001-00001")
    manifest = restore(local_remote, there)
    assert manifest is not None
    assert manifest.generation == "001-00001"


def test_an_unreachable_remote_does_not_count_as_empty(servers: Servers, here: Path, there: Path) -> None:
    sealed(here, "001-00001")
    remote = Remote(RCLONE, servers.config, "away:jobs/x")
    for call in (lambda: restore(remote, there), lambda: push(remote, here, "001-00001"), lambda: latest(remote)):
        with pytest.raises(RemoteError) as caught:
            call()
        assert not isinstance(caught.value, RemoteAbsent | RemoteDiffers)
    assert [p.name for p in here.iterdir()] == ["001-00001"]


def test_a_file_modified_after_sealing_is_not_sent(local_remote: Remote, here: Path) -> None:
    sealed(here, "001-00001")
    push(local_remote, here, "001-00001")
    sealed(here, "001-00002")
    (here.parent / "work/scf.chk").write_text("written in place: the sealed file changes with it")
    with pytest.raises(CheckpointCorrupt, match=r"scf\.chk"):
        push(local_remote, here, "001-00002")
    assert latest(local_remote) == "001-00001"


def test_a_pruned_generation_is_not_sent(local_remote: Remote, here: Path) -> None:
    sealed(here, "001-00001")
    shutil.rmtree(here / "001-00001")
    with pytest.raises(CheckpointCorrupt):
        push(local_remote, here, "001-00001")
    assert local_remote.list() == []


def test_an_upload_that_arrives_damaged_is_not_the_latest(local_remote: Remote, here: Path, tmp_path: Path) -> None:
    sealed(here, "001-00001")
    push(local_remote, here, "001-00001")
    sealed(here, "001-00002")
    damaging = tmp_path / "rclone"
    victim = Path(local_remote.root) / "checkpoint/001-00002/scf.chk"
    damaging.write_text(f'#!/bin/bash\nif [[ $1 == check ]]; then echo x >"{victim}"; fi\nexec "{RCLONE}" "$@"\n')
    damaging.chmod(0o755)
    with pytest.raises(RemoteDiffers, match=r"scf\.chk"):
        push(Remote(damaging, None, local_remote.root), here, "001-00002")
    assert latest(local_remote) == "001-00001"
    assert {e.path for e in local_remote.list("checkpoint") if e.is_dir} == {"001-00001"}


def test_the_manifest_is_json(here: Path) -> None:
    data = json.loads((sealed(here, "001-00001") / "manifest.json").read_text())
    assert set(data) == {"generation", "made_at", "step", "facts", "files", "seal"}
    assert len(data["files"]["scf.chk"]["sha256"]) == 64
