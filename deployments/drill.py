"""`spotwave drill` in the terminal: the cost estimate, the confirmation, the runs and their reports."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled
from rich.console import Console
from rich.markdown import Markdown

from spotwave.deployments.api import Api
from spotwave.deployments.browser import link, run_page
from spotwave.deployments.home import Home
from spotwave.deployments.results import collected, job_variables, results_here
from spotwave.deployments.watch import ApiSilent, follow
from spotwave.flows.drill import REPORT_KEY, DrillEstimate, estimate
from spotwave.node.contract import job_key_of

DEPLOYMENT = "drill/here"


def estimates(clouds: list[str], minutes: float, store: str) -> list[DrillEstimate]:
    """Return the estimate of the highest cost on each cloud.

    Raises ValueError with one line for the first cloud on which no drill is possible.
    """
    return [estimate(cloud, minutes, store) for cloud in clouds]


def announcement(most: list[DrillEstimate]) -> list[str]:
    """Return the lines to show before the drill starts."""
    together = [f"together: at most {sum(one.usd for one in most):.4f} USD"] if len(most) > 1 else []
    return [*(one.line for one in most), *together]


def is_confirmed(most: list[DrillEstimate], ask: Callable[[str], str] | None) -> bool:
    """Return whether the user confirms the cost. `ask` is None without a terminal; then raises ValueError."""
    usd = sum(one.usd for one in most)
    if ask is None:
        raise ValueError(f"drill: no terminal to confirm a cost of up to {usd:.4f} USD; give --yes")
    return ask("start? [y/N] ").strip().lower() in ("y", "yes")


def rehearse(home: Home, api: Api, most: list[DrillEstimate], blocks: dict[str, str], console: Console) -> int:
    """Run the drills at the same time, follow them one after the other, and return 0 if all passed.

    blocks: remote, access and store, as parameters of the flow. Results go to `results/` in the working directory.
    """
    results = results_here(home)
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(DEPLOYMENT)
        runs = []
        for one in most:
            parameters = {"cloud": one.cloud, "minutes": one.minutes, "max_usd_h": one.max_usd_h, **blocks}
            runs.append(
                client.create_flow_run_from_deployment(
                    deployment.id, parameters=parameters, state=Scheduled(), job_variables=job_variables(results)
                )
            )
        try:
            failed = [_has_failed(home, api, client, one, run, console) for one, run in zip(most, runs, strict=True)]
        except KeyboardInterrupt:
            ids = " ".join(str(run.id) for run in runs)
            _print(console, f"The drills continue in the background. Cancel one: prefect flow-run cancel <id> ({ids})")
            return 130
    return 1 if any(failed) else 0


def _has_failed(
    home: Home, api: Api, client: SyncPrefectClient, most: DrillEstimate, run: FlowRun, console: Console
) -> bool:
    """Follow one drill, print its report, and return whether it failed."""
    _print(console, f"drill on {most.cloud}: {link(api, home, run_page(run.id))}")
    try:
        run = follow(client, run.id, console)
    except ApiSilent as silent:
        _print(console, f"The Prefect API no longer answers ({silent}). The drill continues in the background.")
        return True
    report = _report(client, run.id)
    if report is not None:
        console.print(Markdown(report))
    if (found := collected(job_key_of(run.id), results_here(home), home.results)) is not None:
        _print(console, f"results: {found}")
    if run.state is not None and run.state.is_completed():
        return False
    message = " ".join((run.state.message or "no message").split()) if run.state else "no state"
    _print(console, f"not passed on {most.cloud}: {message}")
    return True


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _report(client: SyncPrefectClient, run_id: UUID) -> str | None:
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]), key=ArtifactFilterKey(any_=[REPORT_KEY])
    )
    found = client.read_artifacts(artifact_filter=wanted, limit=1)
    return str(found[0].data) if found else None
