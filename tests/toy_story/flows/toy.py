"""A story for the tests: counts the letters of a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from spotwave.flows.loop.story import InvalidResult, Needs, Preset, Row, Story
from spotwave.flows.loop.story_flow import story_flow
from spotwave.node.input_error import InputError


class Text(BaseModel):
    text: str = Field("abc", description="The text to count.")


class Toy(Story[Text]):
    """Count the letters of a text, on a machine."""

    name: ClassVar[str] = "toy"
    Input = Text
    presets: ClassVar[Sequence[Preset]] = (Preset("hello", "Counts the letters of hello.", {"text": "hello"}),)

    def check(self, given: Text) -> Needs:
        if not given.text:
            raise InputError("text", "it is empty", "Give some letters")
        return Needs(parameters={"text": given.text})

    def same_work(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
        return old == new

    def summary(self, result: Mapping[str, Any]) -> Sequence[Row]:
        if not isinstance(letters := result.get("letters"), int):
            raise InvalidResult("result.json: letters is not a number")
        return [("letters", str(letters))]


toy = story_flow(Toy)
