"""Conversion of published interruption figures to a rate per hour, with its basis."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from benchmarks.interruption_rates import LIMIT_H, main, of_lifetimes, of_traces
from spotwave.blocks.interruption import (
    HIGH_FROM,
    MEDIUM_FROM,
    STOPPED_VM_H,
    UNKNOWN_GPU_PER_H,
    UNKNOWN_PER_H,
    Rate,
    of_hour,
    of_month,
    of_stops,
    word_of,
)
from spotwave.blocks.interruption_columns import rate, word

# From benchmarks/interruption_rates.py: recorded events and hours.
N1_PREEMPTIONS, N1_VMS, N1_HOURS = 363, 1442, 11_847
GPU_ENDS, GPU_HOURS = 3412, 9050


@pytest.mark.parametrize(
    ("converted", "per_h"),
    [
        (of_hour(0, 5), 0.025),
        (of_hour(5, 10), 0.075),
        (of_hour(20, 100), 0.6),
        (of_month(0, 5), 0.000035),
        (of_month(15, 20), 0.00024),
        (of_month(20, 100), 0.00083),
        (of_stops(0.04, 7), 0.0049),
        (of_stops(0.0, 7), 0.0),
    ],
)
def test_published_figures_are_converted_to_interruptions_per_hour(converted: Rate, per_h: float) -> None:
    assert converted.per_h == pytest.approx(per_h, rel=0.02)


def test_basis_has_source_figure_and_assumption() -> None:
    assert of_hour(20, 100).basis == "Azure Resource Graph: >20 % evicted per hour; its middle"
    assert of_month(5, 10).basis == (
        "Spot Instance Advisor: 5-10 % of capacity reclaimed in a month; its middle, spread evenly over 720 h"
    )


def test_rates_without_a_source_are_the_recorded_ones() -> None:
    assert pytest.approx(N1_PREEMPTIONS / N1_HOURS, rel=0.1) == UNKNOWN_PER_H
    assert pytest.approx(GPU_ENDS / GPU_HOURS, rel=0.1) == UNKNOWN_GPU_PER_H


def test_share_of_stopped_machines_gives_the_recorded_rate() -> None:
    assert pytest.approx(N1_HOURS / N1_VMS, rel=0.01) == STOPPED_VM_H
    assert of_stops(N1_PREEMPTIONS / N1_VMS, 1).per_h == pytest.approx(N1_PREEMPTIONS / N1_HOURS, rel=0.01)


@pytest.mark.parametrize(
    ("per_h", "expected"),
    [
        (0.0, "low"),
        (MEDIUM_FROM * 0.999, "low"),
        (MEDIUM_FROM, "medium"),
        (HIGH_FROM * 0.999, "medium"),
        (HIGH_FROM, "high"),
        (3.0, "high"),
    ],
)
def test_words_are_thresholds_on_the_rate(per_h: float, expected: str) -> None:
    assert word_of(per_h) == expected
    assert pl.DataFrame({"interruptions_per_h": [per_h]}).select(word()).item() == expected


def test_column_of_words() -> None:
    frame = pl.DataFrame({"interruptions_per_h": [None, 0.5]}, schema={"interruptions_per_h": pl.Float64})
    assert frame.select(word())["interruption"].to_list() == ["unknown", "high"]


def test_rate_for_the_ranking_of_offers() -> None:
    rows = [
        ("low", 0.5, 0.0),  # a published rate takes precedence
        ("unknown", None, 0.0),
        ("unknown", None, 0.25),
        ("low", None, 0.0),  # from a snapshot of before there were rates
        ("medium", None, 8.0),
        ("high", None, 0.0),
    ]
    schema = {"interruption": pl.String, "interruptions_per_h": pl.Float64, "gpu_count": pl.Float64}
    found = pl.DataFrame(rows, schema, orient="row").select(rate())["rate"].to_list()
    assert found[:3] == [0.5, UNKNOWN_PER_H, UNKNOWN_GPU_PER_H]
    assert [word_of(one) for one in found[3:]] == ["low", "medium", "high"]


def test_truncated_lifetime_counts_its_hours_and_no_event() -> None:
    vms = pl.DataFrame({"hours": [2.0, 4.0, 24.0], "preempted": [True, False, True]})
    whole = of_lifetimes(vms, "")
    assert (whole.events, whole.hours) == (1, 2.0 + 4.0 + LIMIT_H)  # the last was ended by the limit of 24 h
    young = of_lifetimes(vms, "", 0.0, 3.0)
    assert (young.events, young.hours) == (1, 2.0 + 3.0 + 3.0)
    old = of_lifetimes(vms, "", 3.0, LIMIT_H)
    assert (old.events, old.hours) == (0, 1.0 + LIMIT_H - 3.0)


def test_availability_until_the_end_of_the_trace_is_no_event() -> None:
    runs = pl.DataFrame(
        {
            "trace": ["a", "a", "a", "b", "b"],
            "start_tick": [0, 4, 6, 0, 10],
            "n_ticks": [4, 2, 6, 10, 2],
            "value": [1, 0, 1, 1, 0],
        }
    )
    meta = pl.DataFrame({"trace": ["a", "b"], "gap_seconds": [3600, 1800]})
    assert of_traces(runs, meta).rows() == [("a", 1, 10.0), ("b", 1, 5.0)]


def test_benchmark_without_recordings_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["interruption_rates", "--data", str(tmp_path)])
    main()
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("interruption_rates: skipped, gcp_preemption_lifetimes_2019.csv.gz")
