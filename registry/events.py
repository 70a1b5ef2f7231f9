"""News of this floor. Sent inside the transaction, with ids only; a receiver may only ask for a job."""

from django.dispatch import Signal

#: What is in force for a type and owner has changed. Arguments: entity_type: str, user_id: int | None.
schema_in_force_changed = Signal()
