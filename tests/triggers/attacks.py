"""What every attack on a guard shares."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction


def execute(statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> int:
    """Runs a statement as psql would; gives the number of rows it changed."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def refused_by(constraint: str, attack: Callable[[], object]) -> None:
    """The attack fails with an IntegrityError that names `constraint`, and the transaction goes on."""
    with pytest.raises(IntegrityError) as refusal, transaction.atomic():
        attack()
    cause = refusal.value.__cause__
    assert isinstance(cause, psycopg.Error)
    assert cause.diag.constraint_name == constraint
