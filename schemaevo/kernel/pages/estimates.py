"""How much there is, for a glance: exact while a table is small, else the planner's estimate."""

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, Model, QuerySet

#: Up to so many rows are counted; more are estimated.
COUNTED_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Amount:
    """A number of rows, and whether it is exactly that."""

    value: int
    is_exact: bool = True


def rows_counted(model: type[Model]) -> Amount:
    """How many rows a table has."""
    return found_counted(model._base_manager.all())


def found_counted(rows: QuerySet[Any]) -> Amount:
    """How many rows are found; the condition has to have an index."""
    seen = rows.order_by()[: COUNTED_MAX + 1].count()
    return Amount(seen) if seen <= COUNTED_MAX else Amount(max(_estimated(rows), seen), is_exact=False)


def part_counted(rows: QuerySet[Any], total: Amount) -> Amount:
    """How many rows are found among `total`, whose condition has no index: where the table is not small, only the
    planner is asked."""
    return found_counted(rows) if total.is_exact else Amount(_estimated(rows), is_exact=False)


def _estimated(rows: QuerySet[Any]) -> int:
    """About how many rows are found, by the planner, which reads the table's size now and scans nothing."""
    plan = rows.order_by().values("pk").explain(format="json")
    return int(json.loads(plan)[0]["Plan"]["Plan Rows"])


def rows_by_choice(model: type[Model], column: str, total: Amount) -> dict[str, Amount]:
    """How many rows have each value of a column of few values; estimated where `total` is."""
    if total.is_exact:
        counted: Any = model._base_manager.order_by().values_list(column).annotate(rows=Count("pk"))
        return {value: Amount(rows) for value, rows in counted}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT unnest(most_common_vals::text::text[]), unnest(most_common_freqs)
              FROM pg_stats WHERE schemaname = current_schema() AND tablename = %s AND attname = %s
            """,
            [model._meta.db_table, column],
        )
        return {value: Amount(round(total.value * share), is_exact=False) for value, share in cursor}
