"""The displays of registry.quota_displays, for templates."""

from django import template
from django.utils.safestring import SafeString

from registry import quota_displays
from registry.models import QuotaRequest
from registry.selectors_quotas import LimitUse

register = template.Library()


@register.filter
def usage_bar(use: LimitUse) -> SafeString:
    return quota_displays.usage_bar(use)


@register.filter
def request_badge(request: QuotaRequest) -> SafeString:
    return quota_displays.request_badge(request)


@register.filter
def quota_address(user_id: int) -> str:
    return quota_displays.quota_address(user_id)


@register.simple_tag
def asked_for(now: int, asked: int) -> SafeString:
    return quota_displays.asked_for(now, asked)


@register.simple_tag
def use_and_wish(use: LimitUse, asked: QuotaRequest) -> SafeString:
    return quota_displays.use_and_wish(use, asked)


@register.simple_tag
def maxima_in_words(max_schemas: int | None, max_fields: int | None) -> str:
    return quota_displays.maxima_in_words(max_schemas, max_fields)
