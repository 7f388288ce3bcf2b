"""Parameter values from files, such as a molecule or a basis set."""

from __future__ import annotations

from pathlib import Path

_LONGEST = 200_000  # bytes; more than any parameter accepts


def text_of(key: str, path: Path) -> str:
    """Return the text of the file. Raises ValueError with one line that includes the remedy."""
    option = f"-p {key}=@{path}"
    try:
        if not path.is_file():  # reading a pipe or a terminal might never end
            raise ValueError(f"{option}: not a file; give the path of an existing file")
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except OSError as error:
        raise ValueError(f"{option}: cannot be read ({error.strerror}); give a file that you can read") from error
    if len(content) > _LONGEST:
        raise ValueError(f"{option}: longer than {_LONGEST} bytes; give the file of one molecule or basis set")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{option}: not a text file; give a text file in UTF-8") from error
    if "\0" in text or not text.strip():
        raise ValueError(f"{option}: the file has no text; give a text file in UTF-8")
    return text
