"""Lists over big tables: pages found by the last row seen, never by counting or skipping rows.

A page costs the same at the start and after a million rows, and the number of its queries does not depend
on what it shows.
"""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection, models, transaction
from django.db.models import BooleanField, Expression, F, QuerySet, Value
from django.db.models.sql.compiler import SQLCompiler
from django.http import HttpRequest
from psycopg.errors import QueryCanceled

from schemaevo.kernel.pages.base import ReadOnlyAdmin, StoreChangeList
from schemaevo.kernel.pages.estimates import Amount, rows_counted

#: A list page that takes longer gives up and says how to narrow it; the database is not held by a reader.
PAGE_LIMIT_MS = 5_000
#: What the planner takes a page of a table to cost that is not read in its order. By its default, which is that of
#: turning disks, it would rather walk past hundreds of thousands of rows in order than look up fifty by an index.
RANDOM_PAGE_COST = 1.1


class RowIsAfter(Expression):
    """SQL's ``(a, b, c) > (1, 2, 3)``: the one form for which PostgreSQL walks a matching index."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, columns: Sequence[Any], values: Sequence[Any], *, descending: bool) -> None:
        super().__init__(output_field=BooleanField())
        self.columns = list(columns)
        self.values = list(values)
        self.operator = "<" if descending else ">"

    def get_source_expressions(self) -> list[Any]:
        return [*self.columns, *self.values]

    def set_source_expressions(self, exprs: Sequence[Any]) -> None:
        half = len(exprs) // 2
        self.columns, self.values = list(exprs[:half]), list(exprs[half:])

    def as_sql(self, compiler: SQLCompiler, connection: Any) -> tuple[str, tuple[Any, ...]]:
        compiled = [compiler.compile(expression) for expression in self.get_source_expressions()]
        texts, half = [sql for sql, _given in compiled], len(self.columns)
        sql = f"({', '.join(texts[:half])}) {self.operator} ({', '.join(texts[half:])})"
        return sql, tuple(param for _sql, given in compiled for param in given)


@dataclass(frozen=True)
class Keyset:
    """The total order of a list, such as ``("-recorded_at", "-id")``: all up or all down, no nulls.

    `computed` names those of them that are no columns but annotations of the admin's queryset, each with its field.
    """

    order: tuple[str, ...]
    computed: Mapping[str, "models.Field[Any, Any]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len({name.startswith("-") for name in self.order}) != 1:
            raise ValueError(f"the order {self.order} mixes directions, which no row comparison can follow")

    @property
    def names(self) -> list[str]:
        return [name.removeprefix("-") for name in self.order]

    @property
    def descending(self) -> bool:
        return self.order[0].startswith("-")

    @property
    def reversed(self) -> tuple[str, ...]:
        return tuple(self.names) if self.descending else tuple(f"-{name}" for name in self.names)

    def fields_of(self, model: type[models.Model]) -> list[Any]:
        """The fields of the order's columns; of a reference, the column it refers to."""
        return [self.computed.get(name) or _column(model, name) for name in self.names]

    def cursor_of(self, row: models.Model) -> str:
        """The place of a row in its list, as text for an address."""
        texts = [
            str(getattr(row, name))
            if name in self.computed
            else cast(Any, row._meta.get_field(name)).value_to_string(row)
            for name in self.names
        ]
        return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode().rstrip("=")

    def beyond(self, fields: Sequence[Any], values: Sequence[Any], *, backward: bool) -> RowIsAfter:
        """The condition that a row stands after (or before) the row with these values."""
        bound = [Value(value, output_field=field) for field, value in zip(fields, values, strict=True)]
        return RowIsAfter([F(name) for name in self.names], bound, descending=self.descending is not backward)


def _column(model: type[models.Model], name: str) -> Any:
    found: Any = model._meta.get_field(name)
    return found.target_field if found.is_relation else found


def values_of(cursor: str, fields: Sequence[Any]) -> list[Any]:
    """The key values in a cursor. Raises: IncorrectLookupParameters where it is not one of this list."""
    try:
        texts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(texts, list) or len(texts) != len(fields):
            raise ValueError(cursor)
        return [_read(field, text) for field, text in zip(fields, texts, strict=True)]
    except (ValueError, ValidationError, RecursionError) as error:
        raise IncorrectLookupParameters(cursor) from error


def _read(field: Any, text: object) -> Any:
    if not isinstance(text, str) or "\0" in text:
        raise ValueError(text)
    value = field.to_python(text)
    if value is None:
        raise ValueError(text)
    field.run_validators(value)
    return value


@dataclass(frozen=True)
class KeysetPages:
    """What the foot of a list shows: where one can go, and what is known of how much there is."""

    previous_url: str
    next_url: str
    shown: int
    #: How many rows the list has in all, where that is known.
    total: Amount | None
    timed_out: bool
    template_name: ClassVar[str] = "admin/keyset_pages.html"
    num_pages: ClassVar[int] = 1


class KeysetChangeList(StoreChangeList):
    """A change list that finds its page by the cursor in the address.

    ``p=>CURSOR`` is the page after a row, ``p=<CURSOR`` the one before it; without it, the first.
    """

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        return list(self.keyset.order)

    def get_ordering_field_columns(self) -> dict[int, Any]:
        return {}

    @property
    def keyset(self) -> Keyset:
        return self._admin.keyset_for(self.filter_params)

    @property
    def _admin(self) -> "KeysetAdmin":
        return cast("KeysetAdmin", self.model_admin)

    def get_results(self, request: HttpRequest) -> None:
        wish = request.GET.get(PAGE_VAR, "")
        if wish and wish[0] not in "<>":
            raise IncorrectLookupParameters(wish)
        fields = self.keyset.fields_of(self.model)
        place = values_of(wish[1:], fields) if wish else None
        timed_out = False
        rows: list[models.Model] = []
        more_before = more_after = False
        try:
            with page_limit():
                if place is not None and wish[0] == "<":
                    rows, more_before = self._page(fields, place, backward=True)
                    more_after = True
                    if not more_before:
                        # Close to the start a page back may be short: show the first page whole instead.
                        place = None
                if place is None:
                    rows, more_after = self._page(fields, None)
                elif wish[0] == ">":
                    rows, more_after = self._page(fields, place)
                    more_before = True
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled):
                raise
            timed_out = True
        self._admin.attach(rows)
        self._show(rows, wish, more_before, more_after, timed_out)

    def _page(
        self, fields: Sequence[Any], place: Sequence[Any] | None, *, backward: bool = False
    ) -> tuple[list[models.Model], bool]:
        """One page of rows in the list's order, and whether there are more in the direction walked."""
        found = self.queryset.order_by(*(self.keyset.reversed if backward else self.keyset.order))
        if place is not None:
            found = found.filter(self.keyset.beyond(fields, place, backward=backward))
        rows = list(found[: self.list_per_page + 1])
        page = rows[: self.list_per_page]
        return (page[::-1] if backward else page), len(rows) > self.list_per_page

    def _show(
        self, rows: list[models.Model], wish: str, more_before: bool, more_after: bool, timed_out: bool
    ) -> None:
        is_whole = not (more_before or more_after or timed_out)
        is_narrowed = bool(self.query or self.has_active_filters)
        total = Amount(len(rows)) if is_whole else None
        if total is None and not is_narrowed and not timed_out:
            total = self._admin.rows_in_all()
        first = self.keyset.cursor_of(rows[0]) if rows else wish[1:]
        last = self.keyset.cursor_of(rows[-1]) if rows else wish[1:]
        self.paginator = KeysetPages(
            previous_url=self.get_query_string({PAGE_VAR: "<" + first}) if more_before else "",
            next_url=self.get_query_string({PAGE_VAR: ">" + last}) if more_after else "",
            shown=len(rows),
            total=total,
            timed_out=timed_out,
        )
        self.result_list = rows
        self.result_count = len(rows)
        # Equal, so that Unfold offers no "show all" beside the title.
        self.full_result_count = len(rows)
        self.show_full_result_count = False
        self.show_admin_actions = False
        self.can_show_all = False
        self.multi_page = False


@contextmanager
def page_limit() -> Iterator[None]:
    """Inside, a statement that runs longer than PAGE_LIMIT_MS is cancelled by the database, and one that needs few rows
    looks them up."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('random_page_cost', %s, true)",
                [f"{PAGE_LIMIT_MS}ms", str(RANDOM_PAGE_COST)],
            )
        yield


class KeysetAdmin(ReadOnlyAdmin):
    """A read-only admin whose list is a KeysetChangeList.

    `referred` names the references shown in a row and the columns needed of each. They are read by key, one
    query each: a join would drop a row whose counterpart is gone, just the row that somebody must see.
    """

    keyset: ClassVar[Keyset]
    referred: ClassVar[dict[str, tuple[str, ...]]] = {}
    #: The same for what only the page of one row shows.
    referred_on_page: ClassVar[dict[str, tuple[str, ...]]] = {}
    #: What many rows are called, where the heading of the list is no word for them.
    many: ClassVar[Any] = ""
    list_select_related = ()
    sortable_by = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[StoreChangeList]:
        return KeysetChangeList

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).order_by()

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            self.attach([row])
            self._attach([row], self.referred_on_page)
        return row

    def keyset_for(self, narrowed: Mapping[str, Sequence[str]]) -> Keyset:
        """The order of the list where it is narrowed by these parameters: one that an index has for them."""
        return self.keyset

    def rows_in_all(self) -> Amount:
        """How many rows the list has where nothing narrows it."""
        return rows_counted(self.model)

    def attach(self, rows: Sequence[Any]) -> None:
        """Every row has what its references name, or None where it is gone."""
        self._attach(rows, self.referred)

    def _attach(self, rows: Sequence[Any], referred: Mapping[str, tuple[str, ...]]) -> None:
        for name, columns in referred.items():
            field: Any = self.model._meta.get_field(name)
            keys = {getattr(row, field.attname) for row in rows} - {None}
            found = field.related_model._base_manager.only(*columns).in_bulk(keys) if keys else {}
            for row in rows:
                row._state.fields_cache[name] = found.get(getattr(row, field.attname))
