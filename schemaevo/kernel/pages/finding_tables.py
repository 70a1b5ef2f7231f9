"""How the examples of a verification look: each kind names its headings, and makes rows of what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from django.utils.translation import gettext_lazy as _

from schemaevo.kernel.canonical import Json, JsonObject
from schemaevo.kernel.pages.display import json_value
from schemaevo.kernel.verification import Text


@dataclass(frozen=True, slots=True)
class FindingTable:
    """Headings, and for each finding as many cells (text or safe HTML)."""

    headings: Sequence[Text]
    rows: Sequence[Sequence[Text]]


#: Makes the table of findings as the history keeps them, in a number of queries that does not depend on how many there
#: are. They may be of any age: what they name may be gone. No stored values: everybody sees them who may see
#: verifications.
FindingTableProvider: TypeAlias = "Callable[[Sequence[JsonObject]], FindingTable]"

_providers: dict[str, FindingTableProvider] = {}


def finding_table_provider(kind: str, provider: FindingTableProvider) -> None:
    """Findings of this kind look so. Called when the pages of an app are registered."""
    _providers[kind] = provider


def finding_table(kind: str, examples: Json) -> FindingTable | None:
    """The table of these findings; None where there are none."""
    found = [one for one in examples if isinstance(one, dict)] if isinstance(examples, list) else []
    if not found:
        return None
    provider = _providers.get(kind)
    if provider is None:
        return FindingTable([_("What was found")], [[json_value(one)] for one in found])
    return provider(found)


def text_of(found: JsonObject, name: str) -> str:
    """A member as text; nothing where an older finding lacks it."""
    value = found.get(name)
    return "" if value is None else str(value)
