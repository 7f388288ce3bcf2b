"""`spotwave drill` in the terminal: what it will cost, whether it may, and what it has shown."""

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


def promises(clouds: list[str], minutes: float, store: str) -> list[DrillEstimate]:
    """The dearest case on each cloud. Raises ValueError with one line, of the first that cannot be rehearsed on."""
    return [estimate(cloud, minutes, store) for cloud in clouds]


def told(most: list[DrillEstimate]) -> list[str]:
    """What is said before it begins."""
    together = [f"together: {sum(one.usd for one in most):.4f} USD at most"] if len(most) > 1 else []
    return [*(one.line for one in most), *together]


def agreed(most: list[DrillEstimate], ask: Callable[[str], str] | None) -> bool:
    """Whether the user wants it; ask: None where nobody is there to answer. Raises ValueError then."""
    usd = sum(one.usd for one in most)
    if ask is None:
        raise ValueError(f"drill: there is no terminal to ask whether it may cost up to {usd:.4f} USD; give --yes")
    return ask("begin? [y/N] ").strip().lower() in ("y", "yes")


def rehearse(home: Home, api: Api, most: list[DrillEstimate], blocks: dict[str, str], console: Console) -> int:
    """Run the drills, all at once, and follow them one after the other; 0 if all passed.

    blocks: remote, access and store, the flow's parameters. Results go to `results/` of the working directory.
    """
    results = results_here(home)
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(DEPLOYMENT)
        runs = []
        for one in most:
            asked = {"cloud": one.cloud, "minutes": one.minutes, "max_usd_h": one.max_usd_h, **blocks}
            runs.append(
                client.create_flow_run_from_deployment(
                    deployment.id, parameters=asked, state=Scheduled(), job_variables=job_variables(results)
                )
            )
        try:
            failed = [_followed(home, api, client, one, run, console) for one, run in zip(most, runs, strict=True)]
        except KeyboardInterrupt:
            ids = " ".join(str(run.id) for run in runs)
            _say(console, f"The drills go on, and end by themselves. Cancel one: prefect flow-run cancel <id> ({ids})")
            return 130
    return 1 if any(failed) else 0


def _followed(
    home: Home, api: Api, client: SyncPrefectClient, most: DrillEstimate, run: FlowRun, console: Console
) -> bool:
    """Whether it failed."""
    _say(console, f"drill on {most.cloud}: {link(api, home, run_page(run.id))}")
    try:
        run = follow(client, run.id, console)
    except ApiSilent as silent:
        _say(console, f"The Prefect API no longer answers ({silent}). The drill goes on, and ends by itself.")
        return True
    report = _report(client, run.id)
    if report is not None:
        console.print(Markdown(report))
    if (found := collected(job_key_of(run.id), results_here(home), home.results)) is not None:
        _say(console, f"results: {found}")
    if run.state is not None and run.state.is_completed():
        return False
    message = " ".join((run.state.message or "no message").split()) if run.state else "no state"
    _say(console, f"not passed on {most.cloud}: {message}")
    return True


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _report(client: SyncPrefectClient, run_id: UUID) -> str | None:
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]), key=ArtifactFilterKey(any_=[REPORT_KEY])
    )
    found = client.read_artifacts(artifact_filter=wanted, limit=1)
    return str(found[0].data) if found else None
