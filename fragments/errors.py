"""What can go wrong on this floor, as stable codes."""

from schemaevo.kernel.errors import Conflict, Invalid, NotFound


class Undeclared(Conflict):
    """Nothing is declared of the type for this user, so every field goes into observations; code `undeclared_type`."""

    def __init__(self, entity_type: str) -> None:
        super().__init__(
            "undeclared_type",
            f"No schema of {entity_type} applies to this user: every field goes into observations, and nothing is left "
            "to promote. Register a schema first.",
            entity_type=entity_type,
        )


class AlreadyDeclared(Conflict):
    """The field is declared; code `already_declared`."""

    def __init__(self, entity_type: str, field: str, field_type: str) -> None:
        super().__init__(
            "already_declared",
            f"{field} is declared already, as {field_type}. What waits of it does not fit; a converter may help.",
            entity_type=entity_type,
            field=field,
            type=field_type,
        )


class NoFragments(NotFound):
    """Nothing was ever seen of the field; code `no_fragments`."""

    def __init__(self, entity_type: str, field: str) -> None:
        super().__init__(
            "no_fragments",
            f"No record of {entity_type} of this user has the undeclared field {field!r}; recommend_fields shows those "
            "that there are.",
            entity_type=entity_type,
            field=field,
        )


class NoTypeKnown(Conflict):
    """All values of the field are null, so its type has to be given; code `no_type_known`."""

    def __init__(self, entity_type: str, field: str) -> None:
        super().__init__(
            "no_type_known",
            f"All values of {field} are null: say of which type it is.",
            entity_type=entity_type,
            field=field,
        )


class NotDeclared(NotFound):
    """The field is not declared for the user; code `not_declared`."""

    def __init__(self, entity_type: str, field: str) -> None:
        super().__init__(
            "not_declared",
            f"{field} is not declared for this user; promote it, with the converters that its values need.",
            entity_type=entity_type,
            field=field,
        )


class DeclaredGlobally(Conflict):
    """The field is the global schema's, which changes by proposals; code `declared_globally`."""

    def __init__(self, entity_type: str, field: str) -> None:
        super().__init__(
            "declared_globally",
            f"The global schema declares {field}: propose a converter for everybody, or override the converters in "
            "this user's extension.",
            entity_type=entity_type,
            field=field,
        )


class DismissedBefore(Conflict):
    """Somebody dismissed the field for good, and that stands with its reason; code `dismissed`."""

    def __init__(self, field: str) -> None:
        super().__init__("dismissed", f"{field} is dismissed already.", field=field)


class PromotionNotFound(NotFound):
    """There is no such promotion; code `promotion_not_found`."""

    def __init__(self, promotion_id: int) -> None:
        super().__init__(
            "promotion_not_found", f"There is no promotion {promotion_id}.", promotion=str(promotion_id)
        )


class NotToBeUndone(Conflict):
    """The promotion cannot be undone any more; codes `already_undone`, `not_the_newest`, `declared_otherwise`."""

    def __init__(self, code: str, message: str, promotion_id: int) -> None:
        super().__init__(code, message, promotion=str(promotion_id))


class EntityNotFound(NotFound):
    """The owner has no such entity; code `entity_not_found`. The key is not quoted: it may be what is to be erased."""

    def __init__(self, entity_type: str) -> None:
        super().__init__(
            "entity_not_found", f"There is no such entity of {entity_type}.", entity_type=entity_type
        )


class NothingMatches(Conflict):
    """No row matches the filter, so there is nothing to act on; code `nothing_matches`."""

    def __init__(self) -> None:
        super().__init__(
            "nothing_matches", "No row matches this filter any more: there is nothing to act on."
        )


class EverythingUnconfirmed(Invalid):
    """There is no filter, and nobody said that all rows are meant; code `everything_unconfirmed`."""

    def __init__(self) -> None:
        super().__init__(
            "everything_unconfirmed",
            "No filter is set: this would act on every row of the list. Say that this is what you mean.",
        )


class BulkActNotFound(NotFound):
    """There is no such act in bulk; code `bulk_act_not_found`."""

    def __init__(self, act_id: int) -> None:
        super().__init__("bulk_act_not_found", f"There is no act in bulk {act_id}.", bulk_act=str(act_id))


class BulkActOver(Conflict):
    """Every row of the act was looked at, so that nothing is left to cancel or to go on with; code `bulk_act_over`."""

    def __init__(self, act_id: int) -> None:
        super().__init__("bulk_act_over", f"The act in bulk {act_id} is done already.", bulk_act=str(act_id))
