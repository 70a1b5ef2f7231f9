"""The classes that every admin page here derives from, with types that the checker can see."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib.admin import ShowFacets, SimpleListFilter
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.utils.text import capfirst

from schemaevo.kernel.pages.cached import cached_reads, may_be_cached
from schemaevo.kernel.pages.views_bar import VIEW_VAR, ReadyView, views_bar

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.contrib.admin.views.main import ChangeList
    from django.utils.functional import _StrPromise

    PageAdmin = ModelAdmin[Any]
else:
    # Unfold has no type information; to the checker its ModelAdmin is Django's, which it extends.
    from unfold.admin import ModelAdmin as PageAdmin
    from unfold.views import ChangeList


class StoreChangeList(ChangeList):
    """A list that knows that its address may name the view by which it was opened."""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found = super().get_filters_params(params)
        return {name: said for name, said in found.items() if name != VIEW_VAR}


class CountedOnce(StoreChangeList):
    """A list whose number of rows stands at its foot and nowhere else."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        found = super().get_queryset(request, exclude_parameters)
        joined = found.query.select_related
        if isinstance(joined, dict) and may_be_cached(self.model):
            # What rows refer to, such as their owners, is never cached, and a join with it could not be either.
            return found.select_related(None).prefetch_related(*joined)
        return found

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # Where the two are equal, Unfold puts no second count and no "show all" beside the title.
        self.full_result_count = self.result_count


class StoreAdmin(PageAdmin):
    """A list and a page per row, where only declared filters narrow the list.

    Django lets anybody who may see a list filter it by any column of its table, by hand in the address. A
    column of stored values could so be read letter by letter. Here an undeclared parameter is refused.
    """

    actions = None
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_filter_submit = True
    list_fullwidth = False
    list_filter: ClassVar[tuple[type[SimpleListFilter], ...]] = ()
    #: What a list without any row says: what would stand here, and how it gets there; and where one begins, by the
    #: words of a link and the name of its address.
    nothing_yet: ClassVar["str | _StrPromise"] = ""
    begins_at: ClassVar["tuple[str | _StrPromise, str] | None"] = None
    #: The views that come with the list, for everybody.
    ready_views: ClassVar[tuple[ReadyView, ...]] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CountedOnce

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list. Of tables that change slowly it may be a moment old; what is decided from it reads again."""
        # Django's title tells people to select something, which they need not.
        titled = {
            "title": capfirst(self.opts.verbose_name_plural),
            "views_bar": views_bar(self, request) if self.has_view_permission(request) else None,
            **(extra_context or {}),
        }
        if request.method not in {"GET", "HEAD"} or not may_be_cached(self.model):
            return super().changelist_view(request, titled)
        with cached_reads():
            answer = super().changelist_view(request, titled)
            # A list is read while it is rendered, which would else happen after the block.
            return answer.render() if isinstance(answer, SimpleTemplateResponse) else answer

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in {declared.parameter_name for declared in self.list_filter}


class ReadOnlyAdmin(StoreAdmin):
    """Rows that are seen and never touched by hand: append-only, or written by services alone."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        """Everything that the fieldsets name."""
        return [
            name for _title, options in self.get_fieldsets(request, obj) for name in flat(options["fields"])
        ]

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the page of a row shows beside its fields; asked once, of whoever may see the row."""
        return {}

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Model | None = None,
    ) -> HttpResponse:
        context.update(self.page_context(request, obj))
        return super().render_change_form(request, context, add, change, form_url, obj)


def flat(fields: Iterable[str | Iterable[str]]) -> Iterable[str]:
    """The names in a fieldset, in which names that share a line are grouped."""
    for field in fields:
        if isinstance(field, str):
            yield field
        else:
            yield from field
