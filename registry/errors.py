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
