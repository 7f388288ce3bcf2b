"""Parametrised cases that `make test` leaves out and `make test-all` runs.

Each takes seconds or more, and another case of the same test, which stays, runs the same code. A test that takes
minutes as a whole has the mark `thorough` itself.
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

import pytest

#: Test (file below tests/, and name): patterns of the cases' ids.
THOROUGH: dict[str, tuple[str, ...]] = {
    "blocks/conformance/test_booted.py::test_guard_ends_a_machine_whose_agent_was_killed": ("a*", "gcp"),
    "blocks/conformance/test_booted.py::test_machine_gets_a_notice_before_its_interruption": ("azure", "gcp"),
    "blocks/conformance/test_check.py::test_check_raises_nothing_whatever_the_cloud_answers": ("gcp-cut",),
    "blocks/test_blocks_on_server.py::test_cloud_is_loaded_with_its_credentials_and_without_other_integrations": (
        "inside",
    ),
    "blocks/test_local_ends.py::test_end_is_recorded_if_the_terminating_process_was_killed": ("terminated again",),
    "deployments/test_other_computers.py::test_server_that_requires_password_gives_one_line": ("check", "down", "ls"),
    "deployments/test_other_computers.py::test_incomplete_home_is_handled": ("down",),
    "earlier_versions/test_checkpoints.py::test_current_node_code_continues": ("*-1.0", "ccd189d-capped-*"),
    "node/test_basis_sweep.py::test_each_name_works_with_its_core_potential_or_is_refused_in_one_line": ("O",),
    "node/test_checkpoint.py::test_a_new_machine_resumes_from_the_checkpoint": ("dav", "s3"),
    "node/test_degenerate_orbitals.py::test_rounding_does_not_decide_where_an_scf_ends": ("CN, *", "Mn"),
    "node/test_judges.py::test_hartree_fock_agrees_with_nwchem": ("N2", "NH4+", "water, *"),
    "node/test_judges.py::test_hartree_fock_agrees_with_psi4": ("N2", "NH4+", "water, *"),
    "node/test_orbitals.py::test_the_same_input_gives_the_same_integrals": (
        "benzene",
        "B(OH)3*",
        "CH4",
        "H6",
        "NO",
        "N2 *",
    ),
    "node/test_pilot.py::test_a_lower_state_of_another_spin_is_not_chosen": ("C2",),
    "node/test_programs_pyci.py::test_a_restart_after_a_kill_gives_the_same_energies": ("2",),
    "node/test_solutions.py::test_the_lowest_solution_is_found": ("Sc *", "Mn *", "O 0 0 0; O *", "V *"),
    "node/test_solutions.py::test_stability_is_the_lowest_eigenvalue_of_the_whole_hessian": ("Mn *", "N *"),
    "security/test_hostile_checkpoints.py::test_files_of_program_do_not_end_calculation": (
        "a file*",
        "a link*",
        "a terabyte of holes",
        "its checkpoint folder becomes a link*",
        "removes*",
    ),
    "security/test_hostile_programs.py::test_machine_with_damaged_folders_ends": (
        "a checkpoint file's*",
        "another process*",
        "folders*",
        "makes folders*",
        "output and*",
        "pipes in the place of a*",
        "removes*",
    ),
    "tasks/test_refusals.py::test_aws_class_quota_leaves_other_classes_and_smaller_sizes": ("Standard-16",),
    "tasks/test_walk_offers.py::test_a_pool_far_down_the_ranking_is_reached": ("azure-*", "gcp-*"),
    "tasks/test_reworded.py::test_reworded_messages_change_no_decision": ("of_outcomes-[Nt]*",),
}


def is_thorough(nodeid: str) -> bool:
    """Whether the list has this case; nodeid as pytest spells it, e.g. "tests/node/test_x.py::test_y[case]"."""
    test, case = _test_and_case(nodeid)
    return any(fnmatchcase(case, pattern) for pattern in THOROUGH.get(test, ()))


def check_names(nodeids: Collection[str]) -> None:
    """Raise UsageError for a pattern that fits no test, such as one that was renamed. nodeids: of the whole suite."""
    cases: dict[str, list[str]] = {}
    for nodeid in nodeids:
        test, case = _test_and_case(nodeid)
        cases.setdefault(test, []).append(case)
    for test, patterns in THOROUGH.items():
        for pattern in patterns:
            if not any(fnmatchcase(case, pattern) for case in cases.get(test, ())):
                raise pytest.UsageError(f"tests/thorough_cases.py: no case of {test} fits '{pattern}'")


def _test_and_case(nodeid: str) -> tuple[str, str]:
    test, _, case = nodeid.removeprefix("tests/").partition("[")
    return test, case.removesuffix("]")
