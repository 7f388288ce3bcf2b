"""The resources of one attempt, looked up in the Prefect API; statements of the machine itself are not trusted."""

from __future__ import annotations

import time
from dataclasses import dataclass

from spotwave.blocks.attempt_token import AttemptToken
from spotwave.blocks.machine_events import is_id
from spotwave.deployments.proxy.upstream import Upstream
from spotwave.node.contract import MACHINES_POOL

FRESH_S = 2.0  #: how long a lookup of the lease is cached
_REMEMBERED = 10_000  #: maximum number of cached ids per attempt, so that a machine cannot fill the proxy's memory


@dataclass(frozen=True)
class Run:
    """The attempt's node run, with the ids that a machine may use."""

    id: str
    flow_id: str
    deployment_id: str
    work_queue_id: str
    tags: tuple[str, ...]


class Attempt:
    """One machine, identified by its token. Methods that query the API raise ApiUnavailable if it does not answer."""

    def __init__(self, token: AttemptToken, upstream: Upstream) -> None:
        self.token = token
        self._upstream = upstream
        self._lease_seen: float | None = None
        self._run: Run | None = None
        self._pool_id: str | None = None
        self._task_runs: set[str] = set()
        self._artifacts: set[str] = set()

    @property
    def name(self) -> str:
        return self.token.name

    async def is_active(self) -> bool:
        """Return whether the token is valid: not expired, and not revoked by deleting the lease."""
        if time.time() >= self.token.expires:
            return False
        if self._lease_seen is not None and time.monotonic() - self._lease_seen < FRESH_S:
            return True
        requested_at = time.monotonic()
        lease = await self._upstream.ask("GET", f"/artifacts/{self.token.lease_id}")
        if lease is None or lease["key"] != f"lease-{self.name}":
            self.forget_lease()
            return False
        self._lease_seen = requested_at
        return True

    def forget_lease(self) -> None:
        """Drop the cached lookup, because the lease no longer exists."""
        self._lease_seen = None

    async def run(self) -> Run | None:
        """Return the node run in the attempt's own queue; None if it is not created yet."""
        if self._run is None:
            by_key = {"flow_runs": {"idempotency_key": {"any_": [self.name]}}, "limit": 10}
            for found in await self._upstream.ask("POST", "/flow_runs/filter", by_key) or []:
                if (found["work_pool_name"], found["work_queue_name"]) == (MACHINES_POOL, self.name):
                    self._run = Run(
                        id=found["id"],
                        flow_id=found["flow_id"],
                        deployment_id=found["deployment_id"],
                        work_queue_id=found["work_queue_id"],
                        tags=tuple(found["tags"]),
                    )
        return self._run

    async def owns_run(self, run_id: object) -> bool:
        run = await self.run()
        return run is not None and run_id == run.id

    async def owns_task_run(self, task_run_id: object) -> bool:
        """Return whether a task run belongs to the attempt's run or does not exist yet: engines choose the ids."""
        if (known := self._known(task_run_id, self._task_runs)) is not None:
            return known
        found = await self._upstream.ask("GET", f"/task_runs/{task_run_id}")
        if found is not None and not await self.owns_run(found["flow_run_id"]):
            return False
        _remember(task_run_id, self._task_runs)
        return True

    async def owns_artifact(self, artifact_id: object) -> bool:
        """Return whether the attempt's run created the artifact; not true for the lease, which is the controller's."""
        if (known := self._known(artifact_id, self._artifacts)) is not None:
            return known
        found = await self._upstream.ask("GET", f"/artifacts/{artifact_id}")
        if found is None or not await self.owns_run(found["flow_run_id"]):
            return False
        _remember(artifact_id, self._artifacts)
        return True

    async def may_refer_to(self, resource: str) -> bool:
        """Return whether an event may refer to this resource, e.g. "prefect.flow-run.<id>"."""
        kind, _, name = resource.removeprefix("prefect.").partition(".")
        match kind:
            case "task-run":
                return await self.owns_task_run(name)
            case "artifact":
                return await self.owns_artifact(name)
            case "worker":
                return name == f"process.{self.name}"
            case "work-pool":
                return name == await self._work_pool()
        run = await self.run()
        if run is None:
            return False
        own = {
            "flow-run": run.id,
            "flow": run.flow_id,
            "deployment": run.deployment_id,
            "work-queue": run.work_queue_id,
        }
        return own.get(kind) == name or (kind == "tag" and name in run.tags)

    async def _work_pool(self) -> str | None:
        if self._pool_id is None:
            pool = await self._upstream.ask("GET", f"/work_pools/{MACHINES_POOL}")
            self._pool_id = pool and str(pool["id"])
        return self._pool_id

    @staticmethod
    def _known(id_: object, among: set[str]) -> bool | None:
        """Return True for a cached id, False for an invalid id, None for an id that must be looked up."""
        if not isinstance(id_, str) or not is_id(id_):
            return False
        return True if id_ in among else None


def _remember(id_: object, among: set[str]) -> None:
    if len(among) >= _REMEMBERED:
        among.clear()
    among.add(str(id_))


class Attempts:
    """The attempts that have made calls, kept until their tokens expire."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._known: dict[AttemptToken, Attempt] = {}

    def of(self, token: AttemptToken) -> Attempt:
        if token not in self._known:
            now = time.time()
            self._known = {one: attempt for one, attempt in self._known.items() if one.expires > now}
            self._known[token] = Attempt(token, self._upstream)
        return self._known[token]
