"""The owner whom somebody typed into a page."""

from __future__ import annotations

from schemaevo.kernel.errors import DomainError
from schemaevo.kernel.models import User
from schemaevo.kernel.owners import user_by_name
from schemaevo.kernel.pages.verbs import refusal_lines


def owner_named(name: str) -> tuple[User | None, list[str]]:
    """The owner of that name, e-mail or number, None where nothing was typed; or why there is none."""
    if not name:
        return None, []
    try:
        return user_by_name(name), []
    except DomainError as error:
        return None, refusal_lines(error)
