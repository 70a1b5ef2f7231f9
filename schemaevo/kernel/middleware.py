"""Per-request context that every page shares."""

import ipaddress
import logging
import zoneinfo
from collections.abc import Callable

from django.conf import settings
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


def client_address(request: HttpRequest) -> str | None:
    """The address that a request came from, for the throttling of logins.

    Behind a proxy it is the last one of X-Forwarded-For, which our proxy added; what stands before it is the
    word of the client. The proxy's own address would be that of everybody: whoever guesses passwords would
    lock a name for all.
    """
    peer: str | None = request.META.get("REMOTE_ADDR") or None
    if not settings.SCHEMAEVO_BEHIND_PROXY:
        return peer
    nearest = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(nearest))
    except ValueError:
        return peer
