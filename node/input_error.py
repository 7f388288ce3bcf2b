"""Error for an invalid job parameter."""

from __future__ import annotations


class InputError(ValueError):
    """An invalid parameter: its name, the problem and the remedy. `str` gives them in one line."""

    def __init__(self, parameter: str, problem: str, remedy: str) -> None:
        self.parameter = parameter
        self.problem = problem
        self.remedy = remedy
        end = "" if remedy.endswith(("?", ".", "!")) else "."
        super().__init__(" ".join(f"{parameter}: {problem}. {remedy}{end}".split()))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return type(self), (self.parameter, self.problem, self.remedy)
