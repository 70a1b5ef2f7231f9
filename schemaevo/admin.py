"""The admin site: its title and what its first page shows."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from schemaevo.dashboard import dashboard_context

admin.site.index_title = _("Dashboard")
admin.site.empty_value_display = "–"


def _with_icon(context: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    icon = {"rel": "icon", "type": "image/svg+xml", "href": static("schemaevo/favicon.svg")}
    return {**context, "site_favicons": [icon]}


# Unfold asks a site for this by name; Django's site class does not declare it.
admin.site.extra_context = _with_icon  # type: ignore[attr-defined]


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The context of the first page, with what this login may see of the state of the store."""
    return {**context, **dashboard_context(request)}
