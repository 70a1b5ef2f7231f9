"""What can go wrong on this floor, as stable codes."""

from schemaevo.kernel.errors import Conflict, NotFound


class SchemaNotFound(NotFound):
    """There is no such schema or version; code `schema_not_found`."""

    def __init__(self, entity_type: str, number: str, owner: str) -> None:
        what = f"version {number} of {entity_type}" if number else f"schema {entity_type}"
        super().__init__(
            "schema_not_found",
            f"There is no {what} ({owner}).",
            entity_type=entity_type,
            number=number,
            owner=owner,
        )


class ReviewNeeded(Conflict):
    """A global schema changes only after a review; code `review_needed`."""

    def __init__(self, entity_type: str) -> None:
        super().__init__(
            "review_needed",
            f"The global schema {entity_type} is in use; changing it needs a review. From the shell, "
            "--without-review REASON does it at once and is shown on the dashboard.",
            entity_type=entity_type,
        )


class StaleBase(Conflict):
    """Somebody changed what the author looked at; code `stale_base`.

    Context: `given` and `present`, numbers of versions or revisions; `present` is None where there is nothing yet.
    """

    def __init__(self, entity_type: str, given: str | int, present: str | int | None) -> None:
        now = "there is none" if present is None else f"it is {present}"
        super().__init__(
            "stale_base",
            f"This change of {entity_type} was made from {given}, but by now {now}. Look at what changed, and make it "
            "again from there.",
            entity_type=entity_type,
            given=given,
            present=present,
        )


class ExtensionInForce(Conflict):
    """The user extends the global schema, so an own schema cannot come into force; code `extension_in_force`."""

    def __init__(self, entity_type: str) -> None:
        super().__init__(
            "extension_in_force",
            f"This user extends the global schema {entity_type}; change the extension instead of an own schema.",
            entity_type=entity_type,
        )


class NothingToExtend(Conflict):
    """There is no global schema to extend, or the user's own is not adopted yet; codes `no_global_schema` and
    `not_adopted`."""
