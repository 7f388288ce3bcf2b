"""Start a deployment's run and follow it in the terminal until it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Scheduled
from rich.console import Console

from spotwave.deployments.api import Api, Unavailable
from spotwave.deployments.browser import link, run_page
from spotwave.deployments.closing_table import closing_table
from spotwave.deployments.home import Home
from spotwave.deployments.results import collected, job_variables, results_here
from spotwave.deployments.watch import ApiSilent, follow
from spotwave.node.contract import job_key_of
from spotwave.node.untrusted.plain_text import TEXT_CHARS, plain


def run_job(home: Home, api: Api, deployment: str, parameters: dict[str, Any], console: Console) -> int:
    """Run `deployment`, follow it, and return the exit code: 0 only if the run completed.

    Results go to `results/` in the working directory. Raises Unavailable if the deployment does not exist or does not
    accept these parameters.
    """
    results = results_here(home)
    with get_client(sync_client=True) as client:
        run = _create(client, deployment, parameters, results)
        page = run_page(run.id)
        key = job_key_of(run.id)
        address = link(api, home, page)
        console.print(
            f"{deployment} as {run.name}, job {key}: {address}", markup=False, highlight=False, soft_wrap=True
        )
        try:
            run = follow(client, run.id, console)
        except KeyboardInterrupt:
            console.print(_farewell("The job continues.", run), markup=False, highlight=False, soft_wrap=True)
            return 130
        except ApiSilent as silent:
            message = f"The Prefect API no longer answers ({silent}). The job continues in the background."
            console.print(_farewell(message, run), markup=False, highlight=False, soft_wrap=True)
            return 1
    state, url = run.state, link(api, home, page)
    if state is not None and state.is_completed():
        found = collected(key, results, home.results)  # None: a housekeeping run, or collected on another controller
        story = deployment.partition("/")[0]
        closing = closing_table(found, url, story) if found is not None else f"Completed. run: {url}"
        console.print("\n" + closing, markup=False, highlight=False, soft_wrap=True)
        return 0
    message = plain(" ".join((state.message or "no message").split()), TEXT_CHARS) if state else "no state"
    name = plain(state.name or "no name") if state else "unknown"
    console.print(f"{name}: {message}", markup=False, highlight=False, soft_wrap=True)
    console.print(f"run: {url}", markup=False, highlight=False, soft_wrap=True)
    return 1


def _create(client: SyncPrefectClient, name: str, parameters: dict[str, Any], results: Path) -> FlowRun:
    try:
        deployment = client.read_deployment_by_name(name)
    except (ObjectNotFound, ValueError) as error:
        raise Unavailable(f"The deployment {name!r} does not exist: `prefect deployment ls` lists them.") from error
    known = deployment.parameter_openapi_schema.get("properties", {}) if deployment.parameter_openapi_schema else {}
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise Unavailable(f"{name} has no parameter {unknown[0]!r}; it has {', '.join(sorted(known))}.")
    try:
        return client.create_flow_run_from_deployment(
            deployment.id, parameters=parameters, state=Scheduled(), job_variables=job_variables(results)
        )
    except PrefectHTTPStatusError as error:
        detail = error.response.json().get("detail", str(error))
        raise Unavailable(f"{name}: {detail}") from error


def _farewell(message: str, run: FlowRun) -> str:
    return f"{message}\n  watch it:  prefect flow-run watch {run.id}\n  cancel it: prefect flow-run cancel {run.id}"
