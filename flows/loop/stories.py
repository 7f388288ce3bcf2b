"""All stories, discovered in `flows/`: a new one needs no registration."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from prefect import Flow

import spotwave.flows
from spotwave.flows.loop.story_flow import AnyStory


@cache
def stories() -> dict[str, tuple[str, type[AnyStory]]]:
    """Return all stories by name: (entrypoint of the flow, e.g. "spotwave.flows.shci.shci"; the story class)."""
    found: dict[str, tuple[str, type[AnyStory]]] = {}
    for module in iter_modules(spotwave.flows.__path__, "spotwave.flows."):
        if module.ispkg:
            continue
        for attribute, value in vars(import_module(module.name)).items():
            if isinstance(value, Flow) and (story := _story_of(value)) is not None:
                found[story.name] = f"{module.name}.{attribute}", story
    return found


def story_named(name: str) -> type[AnyStory] | None:
    """Return the story of the flow with this name; None if the flow has no story."""
    entry = stories().get(name)
    return None if entry is None else entry[1]


def _story_of(made: Flow[..., Any]) -> type[AnyStory] | None:
    return getattr(made, "story", None)
