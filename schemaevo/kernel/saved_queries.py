"""What a saved view keeps of a list's address: its filters and its search, and never where in the list one was."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from schemaevo.kernel.canonical import canonical_json, is_storable_text
from schemaevo.kernel.errors import Invalid

#: So many characters a query may have, names and marks with it.
QUERY_MAX: Final = 2_000

#: What narrows a list, by the names that stand in its address.
Query: TypeAlias = "dict[str, str]"


@dataclass(frozen=True, slots=True)
class Listed:
    """A list as views know it: its stable name, who may see it, and by which parameters it can be narrowed."""

    name: str
    permission: str
    parameters: frozenset[str]


def query_of(listed: Listed, address: Mapping[str, str]) -> Query:
    """What of an address narrows the list: neither what is empty, nor the place in it, nor what the list does not
    declare."""
    return narrowing({name: said for name, said in address.items() if name in listed.parameters})


def narrowing(said: Mapping[str, str]) -> Query:
    """The same in one form: without what is empty, in the order of names. What was typed stays as it is."""
    return {name: said[name] for name in sorted(said) if said[name].strip()}


def gone(query: Collection[str], listed: Listed) -> list[str]:
    """The filters of a query that the list has no more."""
    return sorted(set(query) - listed.parameters)


def require_query(listed: Listed, said: Mapping[str, str]) -> Query:
    """The query that a view of the list may keep.

    Raises: Invalid `filter_unknown`, `view_empty`, `view_too_long`, `view_unstorable`.
    """
    query = narrowing(said)
    unknown = gone(query, listed)
    if unknown:
        names = ", ".join(name[:50] for name in unknown[:3])
        raise Invalid("filter_unknown", f"The list has no filter {names}.")
    if not query:
        raise Invalid("view_empty", "Nothing narrows the list: set a filter or search for something first.")
    if not all(map(is_storable_text, query.values())):
        raise Invalid("view_unstorable", "A filter holds characters that cannot be kept.")
    if len(canonical_json(dict(query))) > QUERY_MAX:
        raise Invalid(
            "view_too_long",
            f"What narrows the list is longer than {QUERY_MAX:,} characters.",
            limit=QUERY_MAX,
        )
    return query
