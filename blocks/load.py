"""Loading a saved block, and what is wrong with one that cannot be built any more."""

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
    """A saved block whose fields are not valid, here and now; the message names the field and what is wrong with it."""


def load(block_type: type[B], name: str) -> B:
    """The document of that name. Raises ValueError if there is none, Unusable if it cannot be built.

    `Block.load` does the same, but looks up the class of a block inside it (a cloud's credentials) among those of all
    installed Prefect integrations, and so imports these: a second and 60 MiB in every run. Our fields name the class.
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
    """The names of the saved blocks of a type; none where the API has never heard of it, as before `spotwave up`.

    Prefect 3.9.1 answers 404 to the latter, which its client does not turn into ObjectNotFound in this call
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
    """Without the name of its type in each block inside."""
    return {
        name: _by_its_fields(value) if isinstance(value, dict) else value
        for name, value in data.items()
        if name != "block_type_slug"
    }
