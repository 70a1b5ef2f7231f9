"""What can go wrong on this floor, as stable codes."""

from schemaevo.kernel.errors import Conflict, Denied, NotFound, QuotaExceeded


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
        then = given or "none"
        super().__init__(
            "stale_base",
            f"This change of {entity_type} was made from {then}, but by now {now}. Look at what changed, and make it "
            "again from there.",
            entity_type=entity_type,
            given=given,
            present=present,
        )


class StalePreview(Conflict):
    """What is in force has changed since a change of it was shown; code `stale_preview`.

    Context: `shown` and `present`, what was in force then and is now, in words.
    """

    def __init__(self, entity_type: str, shown: str, present: str) -> None:
        super().__init__(
            "stale_preview",
            f"What is in force of {entity_type} has changed since this was shown: it was {shown}, by now it is "
            f"{present}. Nothing was done; look at what would change now.",
            entity_type=entity_type,
            shown=shown,
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


class QuotaReached(QuotaExceeded):
    """The act would grow past a maximum of its owner; code `quota_exceeded`.

    Context: `limit` (schemas or fields), `usage`, `wanted`, `maximum`, `consumers` (entity type and fields, the
    largest first), `owner`, `how_to_ask`.
    """

    def __init__(
        self,
        *,
        limit: str,
        usage: int,
        wanted: int,
        maximum: int,
        consumers: list[tuple[str, int]],
        owner: str,
    ) -> None:
        largest = ", ".join(f"{entity_type} ({fields} fields)" for entity_type, fields in consumers)
        how = f"request_quota {owner} --max-{limit} {wanted} --reason … --as LOGIN"
        super().__init__(
            "quota_exceeded",
            f"{owner} would have {wanted} {limit}; at most {maximum} are allowed, and {usage} are used"
            f"{f', most by {largest}' if largest else ''}. Retire what is not needed, or ask for more: {how}.",
            limit=limit,
            usage=usage,
            wanted=wanted,
            maximum=maximum,
            consumers=[{"entity_type": entity_type, "fields": fields} for entity_type, fields in consumers],
            owner=owner,
            how_to_ask=how,
        )


class RequestNotFound(NotFound):
    """There is no such upgrade request; code `request_not_found`."""

    def __init__(self, request_id: int) -> None:
        super().__init__(
            "request_not_found", f"There is no upgrade request {request_id}.", request_id=request_id
        )


class AlreadyDecided(Conflict):
    """Somebody else was faster; code `already_decided`. Context: `request_id`, `state`."""

    def __init__(self, request_id: int, state: str) -> None:
        super().__init__(
            "already_decided",
            f"Upgrade request {request_id} is {state} already.",
            request_id=request_id,
            state=state,
        )


class OwnRequest(Denied):
    """Whoever asked for more for an owner does not grant it; code `own_request`."""

    def __init__(self, owner_id: int) -> None:
        super().__init__(
            "own_request",
            "Who asked for more quota for an owner cannot decide about it; somebody else has to.",
            owner_id=owner_id,
        )


class RequestPending(Conflict):
    """The owner has an upgrade request that waits for a decision; code `request_pending`. Context: `request_id`."""

    def __init__(self, request_id: int) -> None:
        super().__init__(
            "request_pending",
            f"Upgrade request {request_id} for this owner waits for a decision; withdraw it first, or let it be "
            "decided.",
            request_id=request_id,
        )
