"""The story of a semistochastic heat-bath CI calculation: check, find a machine, compute, bring home, show."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Failed
from pydantic import Field
from pydantic.fields import FieldInfo

from spotwave.blocks.home import ENV_RESULTS
from spotwave.blocks.models import Requirements
from spotwave.flows.loop.parameter_docs import described
from spotwave.flows.loop.run_end import respects_outside_state
from spotwave.flows.loop.run_job import Done, JobFailed, run_job
from spotwave.flows.shci_result import InvalidResult, parse_result
from spotwave.node.contract import job_key_of
from spotwave.node.jobs.shci.calculation import (
    Basis,
    Calculation,
    CommandProgram,
    InputError,
    ProgramName,
    Size,
    check,
)
from spotwave.node.jobs.shci.programs import Program, program_for
from spotwave.tasks.check import check_job
from spotwave.tasks.market.learned import remember_run
from spotwave.tasks.records import Job, Objective
from spotwave.tasks.results.collect import NoResult, collect, show_result
from spotwave.tasks.results.convergence import draw_convergence
from spotwave.tasks.results.fetch import NoRoom

_USUAL = Calculation()


def _told(name: str) -> FieldInfo:
    """What the UI's form says of a parameter that is a field of Calculation."""
    description = Calculation.model_fields[name].description
    return Field(description=description)  # type: ignore[no-any-return]


@flow(name="shci", log_prints=False)
@described
@respects_outside_state
def shci(
    molecule: Annotated[str, _told("molecule")] = _USUAL.molecule,
    charge: Annotated[int, _told("charge")] = _USUAL.charge,
    spin: Annotated[int, _told("spin")] = _USUAL.spin,
    basis: Annotated[Basis, _told("basis")] = _USUAL.basis,
    cartesian: Annotated[bool, _told("cartesian")] = _USUAL.cartesian,
    frozen_core: Annotated[bool, _told("frozen_core")] = _USUAL.frozen_core,
    program: Annotated[ProgramName, _told("program")] = _USUAL.program,
    eps1: Annotated[float, _told("eps1")] = _USUAL.eps1,
    eps2: Annotated[float, _told("eps2")] = _USUAL.eps2,
    command: Annotated[CommandProgram | None, _told("command")] = None,
    keep_fcidump: Annotated[bool, _told("keep_fcidump")] = _USUAL.keep_fcidump,
    requirements: Annotated[Requirements, Field(description="What the machine must have.")] = Requirements(),
    clouds: Annotated[
        list[str],
        Field(description="Cloud blocks to rent from, as '<block type>/<document>'; one per kind."),
    ] = ["local-cloud/here"],  # noqa: B006 - Prefect copies it
    remote: Annotated[
        str, Field(description="The rclone remote block that keeps checkpoints and results.")
    ] = "rclone-remote/here",
    access: Annotated[
        str, Field(description="The block that says how a machine reaches the Prefect API.")
    ] = "prefect-access/here",
    store: Annotated[
        str, Field(description="The snapshot store: prices, and what earlier jobs measured.")
    ] = "snapshot-store/here",
    objective: Annotated[
        Objective, Field(description="'cost': least expected USD to finish; 'price': least USD per hour.")
    ] = "cost",
    work_core_h: Annotated[
        float | None,
        Field(description="The work in core-hours, for the expected cost. Empty: learned from earlier runs of it."),
    ] = None,
    sync_minutes: Annotated[float, Field(description="Checkpoints go to the remote this often; minutes.")] = 5.0,
    silence_minutes: Annotated[
        float, Field(description="A machine without a sign of life for so long is given up; minutes.")
    ] = 2.0,
    max_hours: Annotated[float, Field(description="For all attempts together; hours of wall time.")] = 24.0,
    max_attempts: Annotated[int, Field(description="How many machines may be lost before the job gives up.")] = 5,
    wait_hours: Annotated[
        float | None,
        Field(
            description="Where no cloud has room for it, the job waits for a machine up to so long; hours. 0: it fails "
            "at once; empty: as long as max_hours lasts."
        ),
    ] = None,
    max_usd: Annotated[
        float | None,
        Field(description="The job may cost no more: before that it is checkpointed and stopped. USD; empty: any."),
    ] = None,
    project: Annotated[str, Field(description="Whose money it is: a name, for limits and for the costs.")] = "default",
    budget: Annotated[
        str | None, Field(description="The Budget block: limits by month and project, approval. Empty: none.")
    ] = "budget/here",
    continue_job: Annotated[
        str | None,
        Field(description="Key (sw-...) of an earlier job of this calculation: go on from its checkpoint."),
    ] = None,
    approved: Annotated[
        bool, Field(description="Launch without asking, whatever the quote is: nothing then caps it but max_usd.")
    ] = False,
) -> dict[str, Any] | State[Any]:
    """Energy of a molecule by Hartree-Fock and heat-bath CI with perturbation theory, on a spot machine.

    Survives the loss of its machine: the next one goes on from the last verified checkpoint. Ends with
    `results/<job key>/result.json`, and as Failed with one line that says what to change where something is wrong.
    """
    calculation = Calculation(
        molecule=molecule,
        charge=charge,
        spin=spin,
        basis=basis,
        cartesian=cartesian,
        frozen_core=frozen_core,
        program=program,
        eps1=eps1,
        eps2=eps2,
        command=command,
        keep_fcidump=keep_fcidump,
    )
    try:
        size = check(calculation)
        needed = program_for(calculation)
        wanted = _on_its_cpus(_with_memory(requirements, size), needed)
        key = job_key_of(UUID(flow_run.id))
        job = Job(
            key=key,
            flow_run_id=UUID(flow_run.id),
            node="shci-node/machine",
            parameters={"calculation": calculation.model_dump(mode="json")},
            requirements=wanted,
            clouds=clouds,
            remote=remote,
            access=access,
            store=store,
            objective=objective,
            work_core_h=work_core_h,
            builds=command is not None and command.git_url is not None,
            sync_s=60 * sync_minutes,
            silence_s=60 * silence_minutes,
            max_hours=max_hours,
            max_attempts=max_attempts,
            wait_hours=wait_hours,
            max_usd=max_usd,
            project=project,
            budget=budget,
            continue_job=continue_job,
            approved=approved,
            results=Path(os.environ.get(ENV_RESULTS, "results")).absolute() / key,
        )
        if (problem := check_job(job, list(needed.executables))) is not None:
            return _refused(problem)
        return _finish(job, run_job(job))
    except (InputError, JobFailed, NoResult, NoRoom) as error:
        return _refused(str(error))


def _finish(job: Job, done: Done) -> dict[str, Any] | State[Any]:
    result = collect(job, done.attempts, done.quote)
    try:
        found = parse_result(result)
    except InvalidResult as error:
        return _refused(str(error))
    remember_run(job, done.attempts, found.seconds)
    draw_convergence(job.results, found.total_energy)
    show_result(result, found.rows)
    return result


def _refused(reason: str) -> State[Any]:
    """A Failed state whose message is the line itself; no stack trace, since nothing in the program is wrong."""
    get_run_logger().error(reason)
    return Failed(message=reason)


def _with_memory(requirements: Requirements, size: Size) -> Requirements:
    """The requirements, raised to the memory that the calculation needs. Raises InputError if they cap it below."""
    needed = round(size.memory_gib, 2)
    if requirements.max_memory_gib is not None and requirements.max_memory_gib < needed:
        raise InputError(
            "requirements.max_memory_gib",
            f"{requirements.max_memory_gib:g} GiB are too little: {size.n_correlated_orbitals} orbitals need about "
            f"{needed:g} GiB, of which 8 bytes x n^4/8 = {size.integrals_gib:.3g} GiB are the integrals",
            "Allow more memory, freeze the core, or take a smaller basis",
        )
    return requirements.model_copy(update={"min_memory_gib": max(requirements.min_memory_gib, needed)})


def _on_its_cpus(requirements: Requirements, program: Program) -> Requirements:
    """The requirements, narrowed to the CPUs that the program runs on: the choice then tells how many offers that
    leaves out. Raises InputError if none is left."""
    both = [name for name in requirements.architectures if name in program.architectures]
    if not both:
        raise InputError(
            "requirements.architectures",
            f"{', '.join(requirements.architectures) or 'none'} is asked for, and the program {program.name} runs on "
            f"{', '.join(program.architectures)}",
            "Allow that, or choose another program",
        )
    if len(both) < len(requirements.architectures):
        get_run_logger().info("program %s runs on %s only", program.name, ", ".join(both))
    return requirements.model_copy(update={"architectures": both})
