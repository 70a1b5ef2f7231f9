"""The displays of schemaevo.kernel.pages.display, for templates."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import template
from django.contrib import admin
from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from schemaevo.kernel.canonical import Json
from schemaevo.kernel.models import LIVE_JOB_STATES, Job
from schemaevo.kernel.pages import display
from schemaevo.kernel.pages.asked import pause_seen
from schemaevo.kernel.pause import MAY_SWITCH

register = template.Library()


@register.filter
def moment(value: datetime | None) -> SafeString:
    return display.moment(value)


@register.filter
def ago(value: datetime | None) -> SafeString:
    return display.ago(value)


@register.filter
def amount(value: int | None) -> SafeString:
    return display.amount(value)


@register.filter
def json_value(value: Json) -> SafeString:
    return display.json_value(value)


@register.filter
def json_block(value: Json) -> SafeString:
    return display.json_block(value)


@register.filter
def has_live_jobs(jobs: Iterable[Job]) -> bool:
    """Whether one of the jobs may still go on."""
    return any(job.state in LIVE_JOB_STATES for job in jobs)


@register.simple_tag
def badge(text: object, tone: str = "plain") -> SafeString:
    return display.badge(text, tone)


@register.simple_tag
def hidden() -> SafeString:
    return display.hidden()


@register.simple_tag(takes_context=True)
def site_page(context: template.RequestContext, template_name: str) -> SafeString:
    """A page in the looks of the admin, for views that know nothing of the admin."""
    request = context["request"]
    around: dict[str, Any] = admin.site.each_context(request)
    page = render_to_string(template_name, around, request)
    return mark_safe(page)  # noqa: S308  it was rendered by a template


@register.inclusion_tag("admin/kernel/pause_banner.html", takes_context=True)
def pause_banner(context: template.RequestContext) -> dict[str, Any]:
    """That everything is paused, with the way out for those who may take it; nothing while it is not."""
    request = context["request"]
    user = request.user
    if not user.is_authenticated:
        return {}
    return {
        "pause": pause_seen(request),
        "may_resume": user.has_perm(MAY_SWITCH),
        "csrf_token": context.get("csrf_token"),
    }
