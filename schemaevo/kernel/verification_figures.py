"""How far the store is verified: reads of the history, for the first page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from schemaevo.kernel.verification import Text, verify_checks

WEEK_DAYS = 7
MONTH_DAYS = 30


@dataclass(frozen=True, slots=True)
class Rate:
    """How much was compared in some days, and how much of that diverged; repeated comparisons count each time."""

    checked: int
    divergent: int

    @property
    def in_words(self) -> str:
        """The divergence rate, as in ``0.2 %``; never rounded to nothing."""
        percent = self.divergent * 100 / self.checked if self.checked else 0.0
        if 0 < percent < 0.01:
            return "< 0.01\u202f%"
        return f"{percent:.2g}\u202f%" if percent < 10 else f"{percent:.0f}\u202f%"


@dataclass(frozen=True, slots=True)
class KindFigures:
    """What the history says of one kind. `outcome_id` and `finished_at` are of the newest outcome; None without one.

    `is_settled` is untrue where something diverged that was left as it was, and since then nobody compared all of it
    and left nothing. A sample that finds nothing settles nothing: it hardly meets the same row again.
    """

    kind: str
    label: Text
    outcome_id: int | None
    finished_at: datetime | None
    week: Rate
    month: Rate
    is_settled: bool

    @property
    def rates(self) -> tuple[Rate, Rate]:
        """Of the last week and of the last month."""
        return self.week, self.month


def kinds_verified() -> list[KindFigures]:
    """The figures of every kind that is verified, also of those that never were; one query."""
    checks = verify_checks()
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT k.kind, newest.id, newest.finished_at, sums.week_checked, sums.week_divergent,
                   sums.month_checked, sums.month_divergent, sums.left_count
              FROM unnest(%(kinds)s::text[]) WITH ORDINALITY AS k (kind, place)
              LEFT JOIN LATERAL (
                   SELECT id, finished_at FROM verify_outcomes WHERE kind = k.kind ORDER BY id DESC LIMIT 1
              ) AS newest ON true
              LEFT JOIN LATERAL (
                   SELECT id FROM verify_outcomes
                    WHERE kind = k.kind AND scope = 'all' AND target = '' AND divergent = repaired
                    ORDER BY id DESC LIMIT 1
              ) AS settled ON true
              CROSS JOIN LATERAL (
                   SELECT coalesce(sum(checked) FILTER (WHERE is_of_week), 0) AS week_checked,
                          coalesce(sum(divergent) FILTER (WHERE is_of_week), 0) AS week_divergent,
                          coalesce(sum(checked), 0) AS month_checked,
                          coalesce(sum(divergent), 0) AS month_divergent,
                          coalesce(sum(divergent - repaired) FILTER (WHERE id > coalesce(settled.id, 0)), 0)
                          AS left_count
                     FROM (SELECT *, finished_at >= now() - make_interval(days => %(week)s) AS is_of_week
                             FROM verify_outcomes
                            WHERE kind = k.kind AND finished_at >= now() - make_interval(days => %(month)s)
                          ) AS of_month
              ) AS sums
             ORDER BY k.place
            """,
            {"kinds": list(checks), "week": WEEK_DAYS, "month": MONTH_DAYS},
        )
        return [
            KindFigures(
                kind=kind,
                label=checks[kind].label,
                outcome_id=newest,
                finished_at=finished_at,
                week=Rate(int(week_checked), int(week_divergent)),
                month=Rate(int(month_checked), int(month_divergent)),
                is_settled=left_count == 0,
            )
            for (
                kind,
                newest,
                finished_at,
                week_checked,
                week_divergent,
                month_checked,
                month_divergent,
                left_count,
            ) in cursor.fetchall()
        ]


def share_verified(*, kind: str, count: int) -> float:
    """About which share of the `count` rows of the kind there are was compared in the last week at least once.

    The sum of what was compared would count a row again for every sample that it was in. A sample of c rows misses a
    row with the chance 1 - c / count, and samples know nothing of each other: so all of them miss it with the product.
    """
    if count <= 0:
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT 1 - exp(coalesce(sum(ln(greatest(1 - checked / %(count)s::float8, 1e-12))), 0))
              FROM verify_outcomes
             WHERE kind = %(kind)s AND finished_at >= now() - make_interval(days => %(week)s)
            """,
            {"kind": kind, "count": count, "week": WEEK_DAYS},
        )
        (share,) = cursor.fetchone()
    return float(share)
