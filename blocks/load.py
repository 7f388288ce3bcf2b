"""Loading of saved blocks, with a readable error for one that is no longer valid."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, TypeVar

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import ValidationError

from spotwave.blocks.validation import first_problem

B = TypeVar("B", bound=Block)


class Unusable(ValueError):
    """A saved block whose fields are no longer valid; the message names the field and what is wrong with it."""


def load(block_type: type[B], name: str) -> B:
    """Return the block with that name. Raises ValueError if it does not exist, Unusable if it is invalid.

    `Block.load` does the same, but looks up the class of a nested block (a cloud's credentials) among all installed
    Prefect integrations, and so imports them: a second and 60 MiB in every run. Here the field's type gives the class.
    """
    slug = block_type.get_block_type_slug()
    with get_client(sync_client=True) as client:
        try:
            document = client.read_block_document_by_name(name, slug)
        except ObjectNotFound as error:
            raise ValueError(f"there is no block '{slug}/{name}'") from error
    try:
        return block_type.model_validate(_by_its_fields(document.data))
    except ValidationError as error:
        raise Unusable(first_problem(error)) from error


def names_of(client: SyncPrefectClient, slug: str) -> list[str]:
    """Return the names of the saved blocks of a type; [] if the type is not registered yet, as before `spotwave up`.

    Prefect 3.9.1 answers 404 in that case, which its client does not turn into ObjectNotFound in this call
    (client/orchestration/_blocks_types/client.py).
    """
    try:
        documents = client.read_block_documents_by_type(slug, include_secrets=False)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != HTTPStatus.NOT_FOUND:
            raise
        return []
    return [document.name for document in documents if document.name is not None]


def _by_its_fields(data: dict[str, Any]) -> dict[str, Any]:
    """Remove the type slug that Prefect adds to each nested block."""
    return {
        name: _by_its_fields(value) if isinstance(value, dict) else value
        for name, value in data.items()
        if name != "block_type_slug"
    }
