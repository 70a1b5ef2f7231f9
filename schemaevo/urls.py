"""Addresses. Everything that people use is in the admin."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from schemaevo.kernel.admin.pause import pause_view, resume_view
from schemaevo.kernel.admin.people import own_password_view

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/pause/", admin.site.admin_view(pause_view), name="pause"),
    path("admin/resume/", admin.site.admin_view(resume_view), name="resume"),
    # Before the admin's own page of that address, which leaves no trace in the audit log.
    path("admin/password_change/", admin.site.admin_view(own_password_view, cacheable=True)),
    path("admin/", admin.site.urls),
]
