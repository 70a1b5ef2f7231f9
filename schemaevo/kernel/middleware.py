"""Per-request context that every page shares."""

import logging
import zoneinfo
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

logger = logging.getLogger(__name__)

UTC = zoneinfo.ZoneInfo("UTC")


class LoginTimeZone:
    """Times on a page are in the zone that the signed-in login chose; without one, in UTC."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        zone = zone_of(request.user.time_zone) if request.user.is_authenticated else UTC
        with timezone.override(zone):
            return self.get_response(request)


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """The zone of that name, or UTC: a zone that this system no longer knows must not lock its login out."""
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        logger.warning("The time zone %r is not known here; showing times in UTC.", name)
        return UTC
