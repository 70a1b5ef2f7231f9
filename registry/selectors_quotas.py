"""Reads of quotas: how much is used, by what, and whether the counters are right."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Case, Exists, F, IntegerField, OuterRef, QuerySet, Value, When
from django.db.models.functions import Greatest

from registry.models import QuotaLimit, QuotaNotice, UserQuota
from schemaevo.kernel.canonical import JsonObject

#: From here on results carry a warning, in per cent. The database has the same number (sql/0010).
WARN_FROM_PERCENT = 80
#: Users whose things are counted by one query.
CHUNK_USERS = 500


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How much of one limit is used."""

    limit: QuotaLimit
    usage: int
    maximum: int

    @property
    def percent(self) -> int:
        """The share that is used, rounded down; 100 where something is used of nothing."""
        if self.maximum == 0:
            return 100 if self.usage else 0
        return self.usage * 100 // self.maximum

    @property
    def is_near(self) -> bool:
        """Whether it is time to warn."""
        return self.usage > 0 and self.usage * 100 >= self.maximum * WARN_FROM_PERCENT

    @property
    def in_words(self) -> str:
        """As in ``8 of 10 schemas (80 %)``."""
        return f"{self.usage} of {self.maximum} {self.limit.value} ({self.percent} %)"


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a user has declared, and may declare."""

    user_id: int
    schemas: LimitUse
    fields: LimitUse

    @property
    def near(self) -> tuple[LimitUse, ...]:
        """The limits that are nearly used up, or wholly, or passed."""
        return tuple(use for use in (self.schemas, self.fields) if use.is_near)

    @property
    def warning(self) -> str:
        """What to tell whoever uses more of it; empty where there is room."""
        if not self.near:
            return ""
        return (
            f"The owner uses {' and '.join(use.in_words for use in self.near)}; request_quota asks for more."
        )

    def use_of(self, limit: QuotaLimit) -> LimitUse:
        """How much of that limit is used."""
        return self.schemas if limit == QuotaLimit.SCHEMAS else self.fields


@dataclass(frozen=True, slots=True)
class Consumer:
    """An entity type in which a user has something that counts, and how many fields."""

    entity_type: str
    fields: int


@dataclass(frozen=True, slots=True)
class Divergence:
    """A user whose counters are not the count."""

    user_id: int
    schema_count: int
    total_fields: int
    counted_schemas: int
    counted_fields: int

    @property
    def in_words(self) -> str:
        """For people, without the full stop."""
        return (
            f"User {self.user_id}: {self.schema_count} schemas and {self.total_fields} fields instead of "
            f"{self.counted_schemas} and {self.counted_fields}"
        )

    def to_json(self) -> JsonObject:
        """As results hold it."""
        return {
            "user_id": self.user_id,
            "schemas": self.schema_count,
            "fields": self.total_fields,
            "counted_schemas": self.counted_schemas,
            "counted_fields": self.counted_fields,
        }


class Compared(NamedTuple):
    """What one chunk of users came to: how many, whose counters are wrong, and the last of them; None at the end."""

    user_count: int
    divergent: list[Divergence]
    last_user: int | None


def quota_from_row(row: UserQuota) -> Quota:
    """The quota that a row says."""
    return Quota(
        row.user_id,
        LimitUse(QuotaLimit.SCHEMAS, row.schema_count, row.max_schemas),
        LimitUse(QuotaLimit.FIELDS, row.total_fields, row.max_fields),
    )


def quota_of(*, user_id: int) -> Quota:
    """How much the user has declared, and may. Who never declared anything has the default."""
    return quotas_of(user_ids=[user_id])[user_id]


def quotas_with_fullness() -> QuerySet[Any]:
    """All quotas; `fullness` is the percentage of the limit of which more is used."""
    share = Greatest(
        *(_share(*pair) for pair in (("schema_count", "max_schemas"), ("total_fields", "max_fields")))
    )
    return UserQuota.objects.annotate(fullness=share)


def quotas_near(*, limit: int) -> list[Quota]:
    """Quotas with a limit that is nearly used up, or wholly, or passed; the fullest first."""
    notices = QuotaNotice.objects.filter(user=OuterRef("user"), cleared_at__isnull=True)
    rows = quotas_with_fullness().filter(Exists(notices)).order_by("-fullness", "user_id")
    return [quota_from_row(row) for row in rows[:limit]]


def quotas_of(*, user_ids: Collection[int]) -> dict[int, Quota]:
    """As `quota_of`, of several users, by one query."""
    rows = UserQuota.objects.in_bulk(set(user_ids))
    return {user_id: quota_from_row(rows.get(user_id) or UserQuota(user_id=user_id)) for user_id in user_ids}


def _share(used: str, maximum: str) -> Case:
    return Case(
        When(**{maximum: 0, used: 0}, then=Value(0)),
        When(**{maximum: 0}, then=Value(2**31 - 1)),
        default=F(used) * 100 / F(maximum),
        output_field=IntegerField(),
    )


def largest_consumers(*, user_id: int, limit: int = 5) -> list[Consumer]:
    """The entity types in which the user has most fields, the largest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT entity_type, field_count FROM user_schema_usage_v1(ARRAY[%s::bigint])"
            " ORDER BY field_count DESC, entity_type LIMIT %s",
            [user_id, limit],
        )
        return [Consumer(entity_type, fields) for entity_type, fields in cursor.fetchall()]


def usage_of_type(*, user_id: int, entity_type: str) -> int | None:
    """How many fields of the user count of that entity type; None where nothing of it counts."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT field_count FROM user_schema_usage_v1(ARRAY[%s::bigint]) WHERE entity_type = %s",
            [user_id, entity_type],
        )
        row = cursor.fetchone()
        return None if row is None else row[0]


def types_counted(*, user_ids: Collection[int]) -> dict[int, set[str]]:
    """For each user the entity types that count against the quota. One query."""
    found: dict[int, set[str]] = {user_id: set() for user_id in user_ids}
    with connection.cursor() as cursor:
        cursor.execute("SELECT user_id, entity_type FROM user_schema_usage_v1(%s::bigint[])", [sorted(found)])
        for user_id, entity_type in cursor.fetchall():
            found[user_id].add(entity_type)
    return found


def usage_counted(*, user_ids: Collection[int]) -> Mapping[int, tuple[int, int]]:
    """For each user the entity types and fields that count, counted now."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM user_schema_counts_v1(%s::bigint[])", [sorted(set(user_ids))])
        return {user_id: (schemas, fields) for user_id, schemas, fields in cursor.fetchall()}


def quotas_divergent(*, after_user: int = 0) -> Iterator[Divergence]:
    """Every user above `after_user` whose counters are not the count, by ascending id; read in chunks."""
    last: int | None = after_user
    while last is not None:
        compared = quotas_compared(after_user=last)
        yield from compared.divergent
        last = compared.last_user


def quotas_compared(*, after_user: int) -> Compared:
    """The next chunk of users above `after_user`, each one's counters compared with what they count."""
    user_ids = _users_after(after_user)
    if not user_ids:
        return Compared(0, [], None)
    with connection.cursor() as cursor:
        # One statement: the counters and what they count are those of one moment.
        cursor.execute(
            """
            SELECT c.user_id, coalesce(q.schema_count, 0), coalesce(q.total_fields, 0),
                   c.schema_count, c.total_fields
              FROM user_schema_counts_v1(%s::bigint[]) AS c
              LEFT JOIN user_schema_quotas AS q ON q.user_id = c.user_id
             WHERE (coalesce(q.schema_count, 0), coalesce(q.total_fields, 0))
                   IS DISTINCT FROM (c.schema_count, c.total_fields)
             ORDER BY c.user_id
            """,
            [user_ids],
        )
        found = [Divergence(*row) for row in cursor.fetchall()]
    return Compared(len(user_ids), found, user_ids[-1])


def _users_after(after: int) -> list[int]:
    """The next users who have a quota, or something that might count."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            (SELECT user_id FROM user_schema_quotas WHERE user_id > %(after)s ORDER BY user_id LIMIT %(limit)s)
            UNION
            (SELECT DISTINCT user_id FROM schema_registry WHERE user_id > %(after)s ORDER BY user_id LIMIT %(limit)s)
            UNION
            (SELECT DISTINCT user_id FROM user_schema_extensions WHERE user_id > %(after)s
              ORDER BY user_id LIMIT %(limit)s)
            ORDER BY user_id LIMIT %(limit)s
            """,
            {"after": after, "limit": CHUNK_USERS},
        )
        return [user_id for (user_id,) in cursor.fetchall()]
