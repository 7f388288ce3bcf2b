"""Fixtures of persistent state, written by an old version of Spotwave that really runs: see README.md beside it.

    make.py state   CLONE OUT    a clone at that version, with its environment (`make env`); takes about ten minutes
    make.py trim    FULL OUT     of all that `state` has collected, what is small and tells something; needs no clone
    make.py schemas CLONE OUT    OUT/schemas/<flow>.json and OUT/help.txt, without starting anything

CLONE is best /home/user/spotwave with HOME=/home/user (make.sh sees to that, in a mount namespace), for the old program
writes absolute paths into its state, pickles included. Nothing it wrote is edited; what is left out is in `_left_out`.
Only the standard library before `inside`: it is run again with the clone's own Python, in the clone.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

H2 = {"molecule": "H 0 0 0; H 0 0 0.74", "basis": "sto-3g"}
WATER = {
    "molecule": "O 0 0 0.1173; H 0 0.7572 -0.4692; H 0 -0.7572 -0.4692",
    "basis": "6-31g",
    "frozen_core": True,
    "eps1": 2e-4,
    "sync_minutes": 0.05,
}
ONE = {"requirements": {"max_vcpus": 1}}
USD_H = 36.0  # of the priced local cloud: a cent a second
CAP = 2.0  # a machine needs 1.3 to begin
LONG_S = 1500.0  # more than a loaded computer takes for any step
GROWN = 2500  # bytes of a wave function that has more than its first determinant
SMALL_TEXT = 4000  # characters of an artifact that are kept
AFTER = "FIXTURES_INSIDE"


def main() -> None:
    if sys.argv[1] == "trim":
        trim(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    mode, clone, out = sys.argv[1], Path(sys.argv[2]).absolute(), Path(sys.argv[3]).absolute()
    if os.environ.get(AFTER) != "1":
        dropped = ("SPOTWAVE_", "PREFECT_", "PYTHONDONTWRITEBYTECODE")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        path = f"{clone / '.venv/bin'}:{environment['PATH']}"
        environment |= {AFTER: "1", "PATH": path, "PYTHONPATH": str(clone)}
        command = [str(clone / ".venv/bin/python"), str(Path(__file__).absolute()), mode, str(clone), str(out)]
        sys.exit(subprocess.run(command, cwd=clone, env=environment, check=False).returncode)
    for name in (AFTER, "PYTHONPATH"):
        os.environ.pop(name, None)
    os.umask(0o077)
    out.mkdir(parents=True, exist_ok=True)
    {"state": state, "schemas": schemas}[mode](clone, out)


def say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def put(path: Path, told: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = told if isinstance(told, str) else json.dumps(told, indent=1, sort_keys=True, default=str)
    path.write_text(text.rstrip("\n") + "\n")


# -------------------------------------------------------------------------------------------------- what is committed

WHOLE = ("open", "suspended", "interrupted", "asking")  # jobs of which everything small is kept
CHECKPOINTS = (
    "open",
    "interrupted",
    "capped",
    "completed",
)  # the newest generation, if it is small; of others its manifest
KEPT = (
    "open",
    "suspended",
    "asking",
)  # jobs whose kept results are, and of the rest one of each type that these have not
OF_PREFECT = ("open", "suspended", "asking")
OF_ROWS = (
    "name",
    "entrypoint",
    "parameters",
    "tags",
    "work_queue_name",
    "work_pool_name",
    "schedules",
    "limit",
    "type",
)
RECEIPTS = (*WHOLE, "completed", "capped", "aws", "drill")
RESULTS = ("completed", "interrupted", "drill")
CUT = ("kept.json", "blocks.json", "left-out.txt", "commands.txt")  # cut below; the commands name temporary folders
SMALL = 300  # characters of an artifact


def trim(full: Path, out: Path) -> None:
    """Whole files are copied as they are, or left out; our own dumps are cut."""
    if out.exists():
        shutil.rmtree(out)
    jobs = {told["key"]: what for what, told in json.loads((full / "jobs.json").read_text()).items()}
    dropped: dict[str, int] = {}

    def wanted(inner: Path) -> str | None:
        """Why not, or None."""
        text, parts = str(inner), inner.parts
        key = next((key for key in jobs if key in text), None)
        what = jobs.get(key or "", "drill" if "/sw-" in text else "")
        if parts[:2] == ("home", "machines"):
            if what not in ("open", "interrupted", "suspended") or inner.suffix in (".log", ".tail"):
                return "machines of other jobs, and logs"
            if parts[3] in ("home", "tmp") or (parts[3] == "work" and len(parts) > 5):
                return "folders of machines: code, copies of checkpoints and output"
        if "checkpoint" in parts and inner.name != "LATEST":
            generation = parts[parts.index("checkpoint") + 1]
            newest = (full / Path(*parts[: parts.index("checkpoint") + 1]) / "LATEST").read_text().split()[0]
            if generation != newest:
                return "older generations"
            files = json.loads((full / Path(*parts[: parts.index("checkpoint") + 2]) / "manifest.json").read_text())[
                "files"
            ]
            folder = full / Path(*parts[: parts.index("checkpoint") + 2])
            whole = all((folder / name).exists() for name in files)
            if inner.name != "manifest.json" and (what not in CHECKPOINTS or not whole):
                return "checkpoint files of other jobs, or of a checkpoint with a file that is too big"
        if parts[0] in ("remote-of-clouds", "home") and "remote" in text:
            if "output" in parts and what not in ("interrupted", "drill"):
                return "output, as in results/"
            if inner.name in ("shci.log", "agent.log"):
                return "logs"
        if parts[0] == "remote-of-clouds" and what != "aws":
            return "jobs on other emulated clouds"
        if (
            parts[0] == "results"
            and ("attempts" in parts or inner.suffix in (".log", ".csv"))
            and what != "interrupted"
        ):
            return "attempts, logs and iterations of other jobs"
        if inner.name == "receipt.json" and what not in RECEIPTS:
            return "results as others"
        if inner.name == "result.json" and parts[0] == "results" and what not in RESULTS:
            return "results as others"
        if ("catalogues" in parts and "gcp" not in text) or "cloud=azure" in parts:
            return "catalogues of other clouds; Azure's snapshot"
        return None

    kept = json.loads((full / "kept.json").read_text())
    types: set[str] = set()
    names = set()
    for name, told in sorted(kept.items(), key=lambda one: (one[1].get("job") not in KEPT, one[0])):
        whose, type_ = told.get("job"), told.get("type", "")
        step = f"{type_} of {(told.get('task') or '').rpartition('-')[0]}" if whose in KEPT else type_
        if whose in KEPT or (step not in types and "Tuple" not in step and len(json.dumps(told)) < 6000):
            names.add(name)
        types |= {type_}
    for path in sorted(full.rglob("*")):
        inner = path.relative_to(full)
        if path.is_dir() or inner.parts[0] == "prefect" or inner.name in CUT:
            continue
        why = wanted(inner)
        if why is None and inner.parts[:3] == ("home", "prefect", "storage") and inner.name not in names:
            why = "kept results of other jobs"
        if why is not None:
            dropped[why] = dropped.get(why, 0) + 1
            continue
        # The repository ignores files of the name prefect.toml.
        to = out / ("prefect.toml.txt" if inner.name == "prefect.toml" else inner)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
    listed = (full / "folders.txt").read_text().splitlines()
    put(out / "folders.txt", "\n".join(line for line in listed if "/work/" not in line and "tmp/" not in line))
    lines(out / "kept.json", {name: kept[name] for name in sorted(names)})
    blocks = json.loads((full / "blocks.json").read_text())
    for one in blocks:
        schema = one.pop("schema")
        one["fields"] = sorted(schema["properties"])
        one["secret_fields"] = schema.get("secret_fields", [])
        if str(one["data"].get("url")).startswith("/tmp/"):
            one["data"]["url"] = "/home/user/store"  # a temporary folder of the emulated clouds
    lines(out / "blocks.json", {one.pop("document"): one for one in blocks})
    for path in sorted((full / "prefect").iterdir()):
        told = json.loads(path.read_text())
        if path.stem == "deployments":
            told = {
                name: [{k: v for k, v in one.items() if k in OF_ROWS} for one in rows] for name, rows in told.items()
            }
            lines(out / "prefect" / path.name, told)
        elif path.stem in OF_PREFECT:
            for one in told["artifacts"]:
                one.pop("description", None)
                if len(one["data"] or "") > SMALL:
                    one["data"] = one["data"][:SMALL] + " ..."
            told = {name: told[name] for name in ("what", "key", "flow_runs", "task_runs", "artifacts")}
            lines(out / "prefect" / path.name, told)
    before = (full / "left-out.txt").read_text().splitlines()
    reasons: dict[str, list[str]] = {}
    for line in before:
        name, _, why = line.rpartition(", ")
        reasons.setdefault(why, []).append(name)
    shown = [
        f"{len(found)} files, {why}: {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}"
        for why, found in reasons.items()
    ]
    shown += [f"{count} files, by `make.py trim`: {why}" for why, count in sorted(dropped.items())]
    put(out / "left-out.txt", "\n".join(shown))


def lines(path: Path, told: dict[str, Any]) -> None:
    """JSON, an item a line."""
    path.parent.mkdir(parents=True, exist_ok=True)

    def items(value: Any) -> str:
        if isinstance(value, list):
            return "[\n" + ",\n".join(json.dumps(one, sort_keys=True) for one in value) + "\n]"
        return json.dumps(value, sort_keys=True)

    path.write_text("{\n" + ",\n".join(f"{json.dumps(name)}: {items(one)}" for name, one in told.items()) + "\n}\n")


# ---------------------------------------------------------------------------------------------- schemas and help


def schemas(clone: Path, out: Path) -> None:
    """Of every entrypoint that deployments/prefect.yaml names."""
    from importlib import import_module

    import yaml
    from prefect.utilities.callables import parameter_schema

    named = yaml.safe_load((clone / "deployments/prefect.yaml").read_text())["deployments"]
    for entrypoint in sorted({one["entrypoint"] for one in named}):
        module, _, name = entrypoint.rpartition(".")
        flow = getattr(import_module(module), name)
        told = parameter_schema(flow)
        dumped = told.model_dump() if hasattr(told, "model_dump") else told.dict()
        put(out / "schemas" / f"{flow.name}.json", dumped)
        say(f"{entrypoint}: schema of {flow.name}")
    deployed = [{key: one[key] for key in sorted(one) if key != "description"} for one in named]
    put(out / "schemas" / "deployments.json", deployed)
    environment = {**os.environ, "COLUMNS": "120", "TERM": "dumb", "NO_COLOR": "1"}

    def help_of(*words: str) -> str:
        command = [str(clone / ".venv/bin/spotwave"), *words, "--help"]
        done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=True)
        return f"$ spotwave {' '.join([*words, '--help'])}\n{done.stdout.rstrip()}\n"

    from deployments.cli import app

    commands = sorted(str(name) for name in app if not str(name).startswith("-"))
    lines = "\n".join([help_of(), *(help_of(name) for name in commands)])
    put(out / "help.txt", "\n".join(line.rstrip() for line in lines.splitlines()))


# ------------------------------------------------------------------------------------------------- a living version


def state(clone: Path, out: Path) -> None:
    from deployments.api import Api
    from deployments.home import Home
    from deployments.server import own_url
    from tests import conftest  # clears the environment, and opens the port of this computer's managed identity

    home = Home(clone / ".spotwave")
    environment = dict(conftest._OWN)
    story = Story(clone, home, environment, out)
    try:
        for again in range(5):  # on a loaded computer the server takes longer than `up` waits; it is safe to repeat
            with suppress(AssertionError):
                story.spotwave("up")
                break
            say(f"again: {again}")
        if (clone / "prefect.toml").exists():  # `down` removes it
            shutil.copyfile(clone / "prefect.toml", out / "prefect.toml")
        url = own_url(home)
        assert url is not None
        api = Api(url, embedded=True)
        story.embedded = conftest.Embedded(home, api, api.environment(home))
        with api.in_use(home):
            story.tell()
    finally:
        say(story.spotwave("down", note=False, check=False))
    story.collect()
    if story.failed:
        sys.exit("\n".join(story.failed))


class Story:
    def __init__(self, clone: Path, home: Any, environment: dict[str, str], out: Path) -> None:
        self.clone, self.home, self.environment, self.out = clone, home, environment, out
        self.embedded: Any = None
        self.held: list[int] = []
        self.jobs: dict[str, dict[str, Any]] = {}  # what of it: key, run id
        self.commands: list[str] = []
        self.emulated_remote: Path | None = None
        self.failed: list[str] = []

    # ------------------------------------------------------------------------------------------------------- helpers

    def spotwave(self, *words: str, note: bool = True, check: bool = True) -> str:
        """As a user types it in the checkout: no SPOTWAVE_HOME, so the home is the checkout's .spotwave."""
        say(f"$ spotwave {' '.join(words)}")
        done = subprocess.run(
            [str(self.clone / ".venv/bin/spotwave"), *words],
            cwd=self.clone,
            env={**self.environment, "COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )
        assert not check or done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        if note:
            self.commands.append(f"$ spotwave {' '.join(words)}\n{done.stdout}")
        return done.stdout

    def start(self, what: str, client: Any, **parameters: Any) -> Any:
        """A run of shci/water-dimer, as `prefect deployment run` makes it."""
        from prefect.states import Scheduled
        from tests.flows.kit import Job

        deployment = client.read_deployment_by_name("shci/water-dimer")
        run = client.create_flow_run_from_deployment(deployment.id, parameters=parameters, state=Scheduled())
        job = Job(self.home, client, run.id)
        self.jobs[what] = {"key": job.key, "flow_run_id": str(run.id), "parameters": parameters}
        say(f"{what}: {job.key}")
        self.commands.append(f"# {what}: {job.key}, shci/water-dimer with {json.dumps(parameters)}")
        return job

    def hold(self, job: Any, attempt: int = 1) -> None:
        """Stop the program (SIGSTOP) as soon as a generation with its wave function is sealed, while that is small."""
        import psutil
        from node.contract import LATEST_FILE
        from tests.flows.kit import eventually, marked_processes

        work = self.machine(job, attempt)
        sealed = "checkpoint/*/program/pyci.npz"
        limit = time.monotonic() + LONG_S
        processes: list[psutil.Process] = []
        while not processes:
            assert time.monotonic() < limit
            found = marked_processes(work.parent.name)
            processes = [one for one in found if "node.programs.pyci_program" in " ".join(_words(one))]
            time.sleep(0.02)
        while not any(_size(one) > GROWN for one in work.glob(sealed)):
            assert time.monotonic() < limit
            time.sleep(0.001)
        for process in processes:  # known already: to look for it among all would take longer than it runs
            with suppress(psutil.Error):
                for one in (process, *process.children(recursive=True)):
                    self.held.append(one.pid)
                    one.send_signal(signal.SIGSTOP)

        def sent() -> bool:
            latest = job.remote / LATEST_FILE
            if not latest.exists():
                return False
            newest = latest.read_text().split()[0]
            return _size(job.remote / "checkpoint" / newest / "program/pyci.npz") > GROWN

        eventually("the wave function is on the remote", sent, LONG_S)
        say(f"held: {job.key}, {(job.remote / LATEST_FILE).read_text()!r}")

    def machine(self, job: Any, attempt: int) -> Path:
        """Its work folder, as soon as there is one. Raises AssertionError for a job that has ended."""
        limit = time.monotonic() + LONG_S
        while not (found := list(self.home.machines.glob(f"{job.key}-{attempt}-*/root.json"))):
            state = job.run.state
            assert state is not None
            assert not state.is_final(), f"{job.key} has ended: {state.message}"
            assert time.monotonic() < limit
            time.sleep(1)
        return found[0].parent / "work"

    def step(self, told: Any, *arguments: Any) -> Any:
        """One of the story's; what fails is told at the end, and the rest goes on."""
        try:
            return told(*arguments)
        except (AssertionError, KeyError, ValueError, TypeError, AttributeError, OSError) as error:
            self.failed.append(f"{told.__name__}: {type(error).__name__}: {str(error)[-1500:]}")
            say(f"FAILED {self.failed[-1]}")
            traceback.print_exc()
            return None

    # --------------------------------------------------------------------------------------------------- what happens

    def tell(self) -> None:
        from prefect.client.orchestration import get_client

        with get_client(sync_client=True) as client:
            self.before(client)
            self.completed(client)
            capped = self.step(self.capped, client)
            self.step(self.interrupted, client)
            self.step(self.cancelled, client)
            self.step(self.asking, client)
            if (self.clone / "tasks/suspend.py").exists():
                self.step(self.suspended, client)
            if capped is not None:
                capped.finished(LONG_S)
            self.step(self.on_clouds, client)
            self.step(self.detached, client)
            self.step(self.drill)
            for words in (["costs"], ["costs", "--by", "project", "--json"], ["prices", "--top", "3"]):
                self.spotwave(*words, check=False)
            self.step(self.open, client)
            self.database(client)

    def drill(self) -> None:
        self.spotwave("drill", "--yes", "--minutes", "20")

    def before(self, client: Any) -> None:
        """The blocks of somebody who has set a few fields, beside those that `up` saved."""
        from blocks.access import PrefectAccess
        from blocks.budget import Budget
        from blocks.local.block import LocalCloud

        fields = {"pretend_vcpus": 16} if "pretend_vcpus" in LocalCloud.model_fields else {}
        LocalCloud(prices={"local-1": USD_H}, **fields).save("priced")
        PrefectAccess(way="detached").save("detached")
        Budget(approve_above_usd=0.5).save("asks")

    def completed(self, client: Any) -> None:
        from prefect.client.schemas.sorting import FlowRunSort

        words = [word for name, value in H2.items() for word in ("-p", f"{name}={json.dumps(value)}")]
        told = self.spotwave("run", "shci/water-dimer", *words)
        run = next(
            run for run in client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC) if str(run.id) in told
        )
        self._know("completed", run.id)

    def _know(self, what: str, run_id: Any) -> None:
        from node.contract import job_key_of

        self.jobs[what] = {"key": job_key_of(run_id), "flow_run_id": str(run_id)}

    def capped(self, client: Any) -> Any:
        """Its machine comes to its time by max_usd, and the job ends as Failed with a checkpoint."""
        asked = {
            **WATER,
            **ONE,
            "clouds": ["local-cloud/priced"],
            "max_usd": CAP,
            "work_core_h": 0.02,
            "project": "water",
        }
        job = self.start("capped", client, **asked)
        self.hold(job)
        return job

    def interrupted(self, client: Any) -> None:
        """Taken back with a notice, and done on the next machine."""
        from tests.flows.kit import local_cloud

        job = self.start("interrupted", client, **{**WATER, "eps1": 5e-4}, **ONE)
        self.hold(job)
        local_cloud(self.home).interrupt(job.machine(1), 15)
        assert job.finished(LONG_S).is_completed()
        result = job.result
        assert [one["ending"] for one in result["attempts"]] == ["interrupted", "completed"]

    def cancelled(self, client: Any) -> None:
        from prefect.states import Cancelling

        job = self.start("cancelled", client, **WATER, **ONE)
        self.hold(job)
        client.set_flow_run_state(job.run_id, Cancelling())
        assert job.finished(LONG_S).is_cancelled()

    def detached(self, client: Any) -> None:
        """All that its machine says comes by letters on the remote."""
        job = self.start("detached", client, **H2, **ONE, access="prefect-access/detached")
        assert job.finished(LONG_S).is_completed()

    def asking(self, client: Any) -> None:
        """Its quote waits for a yes, for ever: nothing is launched."""
        from tests.flows.kit import eventually

        asked = {**H2, **ONE, "clouds": ["local-cloud/priced"], "work_core_h": 1.0, "budget": "budget/asks"}
        job = self.start("asking", client, **asked)
        eventually("it waits", lambda: job.run.state_type.value == "PAUSED", LONG_S, 1)

    def suspended(self, client: Any) -> None:
        """By hand, with a checkpoint, and not resumed."""
        from prefect.states import Suspended
        from tests.flows.kit import eventually

        job = self.start("suspended", client, **WATER, **ONE)
        self.hold(job)
        client.set_flow_run_state(job.run_id, Suspended(timeout_seconds=300), force=True)
        saved = lambda: (self.home.results / job.key / "receipt.json").exists() or None  # noqa: E731
        with suppress(AssertionError):
            eventually(
                "its machine has saved and gone", lambda: (job.remote / "attempts/1/outcome.json").exists(), LONG_S, 1
            )
            eventually("its receipt", saved, 60, 1)

    def on_clouds(self, client: Any) -> None:
        """A job on each emulated cloud (tests/emulators: real wings, real SDKs), and a snapshot of their markets."""
        from prefect.states import Scheduled
        from tests.emulators.azure_world import SUBSCRIPTION  # noqa: F401
        from tests.flows import clouds_kit
        from tests.flows.kit import eventually

        folder = Path(tempfile.mkdtemp(prefix="clouds-"))
        self.emulated_remote = folder / "remote" / "jobs"
        with clouds_kit.three_clouds(self.embedded, folder) as clouds:
            jobs = {}
            for kind, cloud in clouds.items():
                blocks = {**cloud.blocks, "store": "snapshot-store/here"}
                jobs[kind] = self.start(kind, client, **H2, **blocks, requirements=clouds_kit.REQUIREMENTS)
            seen: dict[str, Any] = {}

            def all_seen() -> bool:
                for kind, cloud in clouds.items():
                    if kind not in seen and (found := cloud.cloud.find(jobs[kind].key)):
                        with suppress(KeyError, IndexError, StopIteration):
                            seen[kind] = _marks(kind, cloud.emulator, found[0], jobs[kind].key)
                return len(seen) == len(clouds)

            eventually("their machines are seen", all_seen, LONG_S, 0.3)
            put(self.out / "tags.json", {**seen, "functions": _tags_by_functions(seen)})
            self.documents(client)
            for job in jobs.values():
                result = eventually(
                    "it ends", lambda job=job: s if (s := job.run.state).is_final() else None, LONG_S, 1
                )
                assert result.is_completed(), result.message
            deployment = client.read_deployment_by_name("prices/now")
            asked = {"clouds": [f"{kind}-cloud/{clouds_kit.NAME}" for kind in clouds]}
            run = client.create_flow_run_from_deployment(deployment.id, parameters=asked, state=Scheduled())
            self.commands.append(f"# prices/now with {json.dumps(asked)}: the emulated clouds")
            ended = lambda: s if (s := client.read_flow_run(run.id).state).is_final() else None  # noqa: E731
            done = eventually("prices/now", ended, LONG_S, 1)
            assert done.is_completed(), done.message
            self._know("prices", run.id)

    def open(self, client: Any) -> None:
        """Still running when `spotwave down` is called: the next `up` takes it up again."""
        job = self.start("open", client, **WATER, **ONE)
        self.hold(job)

    # ------------------------------------------------------------------------------------------------ what was written

    def documents(self, client: Any) -> None:
        """Field sets of all saved blocks, secrets masked by Prefect, and the schemas that they are checked against."""
        told = []
        for document in client.read_block_documents(include_secrets=False):
            if document.name is None:
                continue
            told.append(
                {
                    "document": f"{document.block_type.slug}/{document.name}",
                    "block_type": document.block_type.name,
                    "schema_checksum": document.block_schema.checksum,
                    "schema_version": document.block_schema.version,
                    "capabilities": document.block_schema.capabilities,
                    "data": _masked(document.data),
                    "schema": _lean(document.block_schema.fields),
                }
            )
        put(self.out / "blocks.json", sorted(told, key=lambda one: one["document"]))

    def database(self, client: Any) -> None:
        """What Prefect's database tells of our runs, by its API."""
        from uuid import UUID

        from prefect.client.schemas.filters import (
            ArtifactFilter,
            ArtifactFilterFlowRunId,
            FlowRunFilter,
            FlowRunFilterTags,
            TaskRunFilter,
            TaskRunFilterFlowRunId,
        )

        for what, known in self.jobs.items():
            run = client.read_flow_run(UUID(known["flow_run_id"]))
            runs = [run]
            if what != "prices":
                tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=[known["key"]]))
                runs += [one for one in client.read_flow_runs(flow_run_filter=tagged) if one.id != run.id]
            ids = [one.id for one in runs]
            tasks = client.read_task_runs(task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=ids)))
            artifacts = client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=ids))
            )
            told = {
                "what": what,
                "key": known["key"],
                "flow_runs": [_dump(one) for one in runs],
                "task_runs": [_task(one) for one in sorted(tasks, key=lambda one: str(one.start_time))],
                "artifacts": [_artifact(one) for one in sorted(artifacts, key=lambda one: str(one.key))],
            }
            put(self.out / "prefect" / f"{what}.json", told)
        pools = [_dump(one) for one in client.read_work_pools()]
        queues = [_dump(one) for pool in pools for one in client.read_work_queues(work_pool_name=pool["name"])]
        for pool in pools:
            pool.pop("base_job_template", None)
        limits = [_dump(one) for one in client.read_global_concurrency_limits(limit=100, offset=0)]
        deployments = []
        for one in client.read_deployments():
            told = _dump(one)
            told.pop("parameter_openapi_schema", None)
            deployments.append(told)
        put(
            self.out / "prefect" / "deployments.json",
            {"deployments": deployments, "pools": pools, "queues": queues, "limits": limits},
        )
        for note in self.home.run.glob("*.json"):  # `down` removes those on processes
            (self.out / "live").mkdir(exist_ok=True)
            shutil.copyfile(note, self.out / "live" / note.name)
        with sqlite3.connect(f"file:{self.home.prefect / 'prefect.db'}?mode=ro", uri=True) as database:
            (version,) = database.execute("select version_num from alembic_version").fetchone()
        from importlib.metadata import version as version_of

        packages = ("prefect", "pydantic", "cloudpickle", "polars", "numpy", "pyscf", "qc-pyci")
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=self.clone, capture_output=True, text=True, check=True
        )
        told = {
            "alembic": version,
            "packages": {one: version_of(one) for one in packages},
            "python": sys.version.split()[0],
        }
        put(self.out / "versions.json", {"commit": commit.stdout.strip(), **told})

    def collect(self) -> None:
        """Copy what was written, once nothing runs any more."""
        out, home = self.out, self.home
        left_out: list[str] = []
        roots = {"home": home.path, "results": home.results, "user": Path(self.environment["HOME"]) / ".prefect"}
        if self.emulated_remote is not None:
            roots["remote-of-clouds"] = self.emulated_remote
        for name, root in roots.items():
            for path in sorted(root.rglob("*")) if root.exists() else []:
                inner = path.relative_to(root)
                if path.is_symlink() or not path.is_file():
                    continue
                if (why := _left_out(name, inner, path)) is not None:
                    left_out.append(f"{name}/{inner}: {path.stat().st_size} bytes, {why}")
                    continue
                to = out / name / inner
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
        folders = sorted(str(one.relative_to(home.path)) for one in home.path.rglob("*") if one.is_dir())
        put(out / "folders.txt", "\n".join(_modes(home.path, folders)))
        put(out / "left-out.txt", "\n".join(left_out))
        put(out / "commands.txt", "\n".join(self.commands))
        put(out / "jobs.json", self.jobs)
        self.kept()
        self.profile()

    def kept(self) -> None:
        """What each kept result is, told by this version's own classes, beside the files themselves."""
        import cloudpickle

        named = {}
        for path in (self.out / "prefect").glob("*.json"):
            for task in json.loads(path.read_text()).get("task_runs", []):
                if task.get("storage_key"):
                    named[Path(task["storage_key"]).name] = (path.stem, task["name"], task["cache_key"])
        told, modules = {}, {}
        for path in sorted((self.out / "home/prefect/storage").iterdir()):
            record = json.loads(path.read_text())
            if record["metadata"]["serializer"]["type"] != "pickle":
                told[path.name] = {"serializer": record["metadata"]["serializer"]["type"]}
                continue
            blob = base64.b64decode(record["result"])
            value = cloudpickle.loads(blob)
            job, task, _ = named.get(path.name, (None, None, None))
            told[path.name] = {"job": job, "task": task, "type": _type(value), "value": _value(value)}
            for name in _globals(blob):
                modules.setdefault(name, []).append(path.name)
        put(self.out / "kept.json", told)
        ours = {name: len(files) for name, files in sorted(modules.items())}
        put(self.out / "kept-names.json", ours)

    def profile(self) -> None:
        """The user's profile without its password."""
        path = self.out / "user/profiles.toml"
        if path.exists():
            lines = path.read_text().splitlines()
            shown = [f'{line.split("=")[0]}= "spotwave:****"' if "AUTH_STRING" in line else line for line in lines]
            path.write_text("\n".join(shown) + "\n")


_SECRET = ("secrets/", "rclone.conf", "api.json")
_BIG = {".whl", ".db", ".png", ".sqlite"}
_NOISE = ("bootstrap.sh", "console.log", "deploy.log")


def _left_out(name: str, inner: Path, path: Path) -> str | None:
    text = str(inner)
    if any(part in f"{text}" for part in _SECRET):
        return "a secret"
    if path.suffix in _BIG or "prefect.db" in text:
        return "big, and not read by name"
    if name == "user" and path.name != "profiles.toml":
        return "Prefect's own"
    if name == "home" and inner.parts[0] in ("tmp", "logs", "user"):
        return "logs and temporary files"
    if (
        path.name in _NOISE
        or text.startswith(("prefect/memo_store", "prefect/worker"))
        or text == "prefect/profiles.toml"
    ):
        return "the same everywhere, or Prefect's own"
    if name == "home" and inner.parts[0] == "machines" and path.stat().st_size > 4000:
        return "big, of a machine that is gone"
    if path.stat().st_size > 60_000:
        return "big"
    return None


def _modes(root: Path, folders: list[str]) -> list[str]:
    return [f"{(root / one).stat().st_mode & 0o777:o} {one}" for one in folders]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # not yet, or not any more
        return 0


def _words(process: Any) -> list[str]:
    import psutil

    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _masked(data: Any) -> Any:
    """As Prefect masks it; and whatever looks like a key all the same."""
    if isinstance(data, dict):
        return {name: _masked(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_masked(value) for value in data]
    return "********" if isinstance(data, str) and ("PRIVATE KEY" in data or "pass =" in data) else data


def _lean(fields: Any) -> Any:
    """A block type's schema without its prose."""
    if isinstance(fields, dict):
        return {k: _lean(v) for k, v in fields.items() if not (k in ("description", "title") and isinstance(v, str))}
    return [_lean(one) for one in fields] if isinstance(fields, list) else fields


def _dump(model: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(model.model_dump_json(exclude_none=True))
    return found


def _task(run: Any) -> dict[str, Any]:
    state = run.state
    data = getattr(state, "data", None)
    key = getattr(data, "storage_key", None) or (data.get("storage_key") if isinstance(data, dict) else None)
    return {
        "name": run.name,
        "task_key": run.task_key,
        "dynamic_key": run.dynamic_key,
        "cache_key": run.cache_key or getattr(state.state_details, "cache_key", None),
        "state": state.name,
        "storage_key": key,
        "tags": sorted(run.tags),
    }


def _artifact(one: Any) -> dict[str, Any]:
    data = one.data if isinstance(one.data, str) else json.dumps(one.data)
    cut = data if len(data) <= SMALL_TEXT and "data:image" not in data else data[:200] + " ..."
    return {
        "key": one.key,
        "type": one.type,
        "metadata": one.metadata_,
        "data": cut,
        "description": (one.description or "")[:300],
    }


def _type(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _value(value: Any) -> Any:
    from dataclasses import asdict, is_dataclass

    if hasattr(value, "model_dump_json"):
        return json.loads(value.model_dump_json())
    if is_dataclass(value) and not isinstance(value, type):
        return json.loads(json.dumps(asdict(value), default=str))
    if isinstance(value, list | tuple):

        def shown(one: Any) -> Any:
            return {"type": _type(one), "value": _value(one)} if hasattr(one, "model_dump_json") else _value(one)

        return [shown(one) for one in value]
    if type(value).__module__.startswith("polars"):
        return json.loads(json.dumps(value.to_dicts(), default=str))
    return json.loads(json.dumps(value, default=str))


def _globals(blob: bytes) -> set[str]:
    """module.name of every global that a pickle looks up."""
    import pickletools

    found, strings = set(), []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(blob):
        if opcode.name == "GLOBAL":
            found.add(str(argument).replace(" ", "."))
        elif opcode.name in ("SHORT_BINUNICODE", "BINUNICODE", "UNICODE"):
            strings.append(str(argument))
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            strings.append(memo.get(argument, ""))
        elif opcode.name == "STACK_GLOBAL":
            found.add(".".join(strings[-2:]))
    return found


def _marks(kind: str, emulator: Any, machine: Any, job_key: str) -> dict[str, Any]:
    """What stands on a machine of an emulated cloud, as the cloud has it, and how this version reads it."""
    if kind == "aws":
        told: Any = emulator.fleet.instances[machine.id].tags
    elif kind == "gcp":
        body = next(one for one in emulator.compute.instances.values() if machine.id in one.name).body
        items = [one for one in body["metadata"]["items"] if "startup" not in one["key"]]
        disk = body["disks"][0]["initializeParams"].get("labels")
        told = {"labels": body["labels"], "metadata": items, "disk labels": disk, "name": body["name"]}
        told["secret labels"] = {n: s.body.get("labels") for n, s in emulator.vault.living.items() if job_key in n}
    else:
        arm = emulator.arm if hasattr(emulator, "arm") else emulator._arm
        body = next(one for one in arm.puts if one["tags"].get("spotwave") == job_key)
        nics = body["properties"]["networkProfile"].get("networkInterfaceConfigurations", [])
        told = {"tags": body["tags"], "interface tags": [one.get("tags") for one in nics], "location": body["location"]}
        told["secret tags"] = {n: s.tags for n, s in emulator.vault.living.items() if job_key in n}
    secret = next(content for name, content in emulator.secrets.items() if job_key in name)
    api = json.loads(json.loads(secret)["api.json"])
    token = api["PREFECT_API_AUTH_STRING"].partition(":")[2]
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return {
        "on the machine": told,
        "read": json.loads(machine.model_dump_json()),
        "secret's name": next(name for name in emulator.secrets if job_key in name),
        "secret's files": sorted(json.loads(secret)),
        "api.json's names": sorted(api),
        "token": {"header": header, "claims": claims},
    }


def _tags_by_functions(seen: dict[str, Any]) -> dict[str, Any]:
    """The same by blocks/tags.py itself, from what was read."""
    from blocks import tags
    from blocks.cloud import Machine

    told = {}
    for kind, one in seen.items():
        machine = Machine.model_validate(one["read"])
        pieces = tags.in_pieces(machine.offer)
        told[kind] = {"packed": tags.packed(machine.offer), "in_pieces": pieces}
        assert tags.unpacked(tags.offer_in(pieces)) == machine.offer
    return told


if __name__ == "__main__":
    main()
