"""A figure as an artifact: a data URI in Markdown, the one form of a picture that the Prefect UI displays correctly."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

from prefect.artifacts import create_markdown_artifact

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def show(figure: Figure, key: str, alternative: str, description: str) -> bytes:
    """Draw the artifact `key`; return the PNG for a file. alternative: the picture's alternative text."""
    image = BytesIO()
    figure.savefig(image, format="png", dpi=110)
    encoded = base64.b64encode(image.getvalue()).decode()
    create_markdown_artifact(
        key=key, markdown=f"![{alternative}](data:image/png;base64,{encoded})", description=description
    )
    return image.getvalue()
