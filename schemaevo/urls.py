"""Addresses. Everything that people use is in the admin."""

from functools import partial

from django.contrib import admin
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.generic import RedirectView

from schemaevo.dashboard import live_view
from schemaevo.kernel.admin.pause import pause_view, resume_view
from schemaevo.kernel.admin.people import own_password_view
from schemaevo.kernel.admin.saved_views import VERBS, save_view, verb_view, views_view
from schemaevo.kernel.pages.suggestions import SuggestionsView


def not_here(request: HttpRequest, path: str) -> HttpResponse:
    """There is no page at this address, whoever asks."""
    raise Http404


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/dashboard/live/", admin.site.admin_view(live_view), name="dashboard_live"),
    path("admin/pause/", admin.site.admin_view(pause_view), name="pause"),
    path("admin/resume/", admin.site.admin_view(resume_view), name="resume"),
    path("admin/views/", admin.site.admin_view(views_view), name="views"),
    path("admin/views/save/", admin.site.admin_view(save_view), name="view_save"),
    *(
        path(
            f"admin/views/<int:view_id>/{verb}/",
            admin.site.admin_view(partial(verb_view, verb=verb)),
            name=f"view_{verb}",
        )
        for verb in VERBS
    ),
    # Before the admin's own page of that address, which leaves no trace in the audit log.
    path("admin/password_change/", admin.site.admin_view(own_password_view, cacheable=True)),
    # The same page of the admin would count whole tables.
    path("admin/autocomplete/", admin.site.admin_view(SuggestionsView.as_view(admin_site=admin.site))),
    # The admin would look for a page of the row outside of it: there is none, and it fails on rows of tables that
    # are not in the database.
    path("admin/r/<path:path>", not_here),
    path("admin/", admin.site.urls),
]
