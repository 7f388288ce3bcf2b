"""A parameter that cannot work, said in one line."""

from __future__ import annotations


class InputError(ValueError):
    """A parameter that cannot work: which one, why, and what to do; `str` is one clear line."""

    def __init__(self, parameter: str, problem: str, remedy: str) -> None:
        self.parameter = parameter
        self.problem = problem
        self.remedy = remedy
        end = "" if remedy.endswith(("?", ".", "!")) else "."
        super().__init__(" ".join(f"{parameter}: {problem}. {remedy}{end}".split()))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return type(self), (self.parameter, self.problem, self.remedy)
