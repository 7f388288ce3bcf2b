"""The value of a parameter out of a file: a molecule, a basis set."""

from __future__ import annotations

from pathlib import Path

_LONGEST = 200_000  # bytes: more than any parameter may have


def text_of(key: str, path: Path) -> str:
    """Raises ValueError, one line with what to do."""
    told = f"-p {key}=@{path}"
    try:
        if not path.is_file():  # a pipe or a terminal might be read for ever
            raise ValueError(f"{told}: there is no such file; give the path of one")
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{told}: it cannot be read ({error.strerror}); give a file that you may read") from error
    if len(content) > _LONGEST:
        raise ValueError(f"{told}: it is longer than {_LONGEST} bytes; give the file of one molecule or basis set")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{told}: it is no text; give a text file in UTF-8") from error
    if "\0" in text or not text.strip():
        raise ValueError(f"{told}: it holds no text; give a text file in UTF-8")
    return text
