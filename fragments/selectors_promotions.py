"""What a promotion would come to, told before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fragments.domain.promotion import judge
from fragments.models import LifecycleState, RawFragment
from registry.domain.definition import Field
from schemaevo.kernel.canonical import Json
from schemaevo.kernel.streams import rows_streamed


@dataclass(slots=True)
class PromotionPreview:
    """What would become of the fragments that wait: of their number `converted` fit only by a converter."""

    fitting: int = 0
    converted: int = 0
    misfit: int = 0

    @property
    def promoted(self) -> int:
        """How many would be observations."""
        return self.fitting + self.converted


def promotion_preview(*, user_id: int, entity_type: str, field: Field) -> PromotionPreview:
    """Looks at every waiting fragment, one after the other, as the promotion would. Call it within a transaction."""
    preview = PromotionPreview()
    for value in _waiting_values(user_id, entity_type, field.name):
        judged = judge(value, field)
        if judged.reason is not None:
            preview.misfit += 1
        elif judged.is_converted:
            preview.converted += 1
        else:
            preview.fitting += 1
    return preview


def _waiting_values(user_id: int, entity_type: str, field: str) -> Iterator[Json]:
    rows = RawFragment.objects.filter(
        user_id=user_id,
        entity_type=entity_type,
        fragment_key=field,
        lifecycle_state__in=[LifecycleState.ACTIVE, LifecycleState.ARCHIVED],
        is_retracted=False,
    )
    with rows_streamed(rows.values_list("value")) as found:
        for (value,) in found:
            yield value
