"""Of several who dismiss a field, or ignore a pattern, at the same time one does it, and the others find it done."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from fragments.models import FieldDismissal, IgnoredPattern
from fragments.services.dismissals import field_dismiss, field_recall, field_snooze
from fragments.services.ignore_lists import pattern_ignore, pattern_recall
from schemaevo.kernel.models import AuditEvent
from tests.factories import SHELL, THING, make_user
from tests.threads import side_by_side

pytestmark = pytest.mark.django_db(transaction=True)

AT_ONCE = 8


@pytest.mark.parametrize("has_owner", [True, False])
def test_a_field_is_dismissed_once_and_recalled_once(has_owner: bool) -> None:
    owner = make_user().pk if has_owner else None
    act: Callable[..., object]
    for act, verb, rows in ((field_dismiss, "dismiss", 1), (field_recall, "recall", 0)):
        one = partial(act, entity_type=THING, name="smell", user_id=owner, actor=SHELL, reason="same")
        side_by_side([one] * AT_ONCE)
        assert FieldDismissal.objects.count() == rows
        assert AuditEvent.objects.filter(action=f"field.{verb}").count() == 1


@pytest.mark.parametrize("has_owner", [True, False])
def test_a_pattern_is_listed_once_and_taken_off_once(has_owner: bool) -> None:
    owner = make_user().pk if has_owner else None
    act: Callable[..., object]
    for act, verb, rows in ((pattern_ignore, "ignore", 1), (pattern_recall, "recall", 0)):
        side_by_side([partial(act, pattern="x-*", user_id=owner, actor=SHELL)] * AT_ONCE)
        assert IgnoredPattern.objects.count() == rows
        assert AuditEvent.objects.filter(action=f"pattern.{verb}").count() == 1


def test_each_decision_takes_the_place_of_the_one_before_and_says_which_that_was() -> None:
    until = timezone.now() + timedelta(days=1)
    acts = [
        partial(
            field_snooze,
            entity_type=THING,
            name="smell",
            user_id=None,
            until=until + timedelta(days=number),
            actor=SHELL,
        )
        for number in range(AT_ONCE)
    ]
    side_by_side(acts)
    events = list(AuditEvent.objects.filter(action="field.snooze").order_by("id"))
    assert len({str(event.after) for event in events}) == AT_ONCE
    assert [event.before for event in events] == [None, *(event.after for event in events[:-1])]
    last = events[-1].after
    assert isinstance(last, dict)
    moment = FieldDismissal.objects.get().until
    assert moment is not None
    assert last["until"] == moment.isoformat()
