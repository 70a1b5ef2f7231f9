"""Times on a page are in the zone of whoever looks; the address that a login is throttled by."""

import pytest
from axes.helpers import get_client_ip_address
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils import timezone

from schemaevo.kernel.middleware import LoginTimeZone, client_address
from schemaevo.kernel.models import User


@pytest.fixture
def zone_of(rf):
    def look(user):
        request = rf.get("/")
        request.user = user
        seen = []

        def page(request):
            seen.append(timezone.get_current_timezone_name())
            return HttpResponse()

        LoginTimeZone(page)(request)
        return seen[0]

    return look


def test_a_login_sees_its_own_zone(zone_of):
    assert zone_of(User(username="kay", time_zone="Asia/Tokyo")) == "Asia/Tokyo"


def test_nobody_sees_utc(zone_of):
    assert zone_of(AnonymousUser()) == "UTC"


def test_the_zone_ends_with_the_request(zone_of):
    zone_of(User(username="kay", time_zone="Asia/Tokyo"))

    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "", "/etc/localtime"])
def test_a_zone_that_does_not_exist_is_refused(name):
    with pytest.raises(ValidationError) as refusal:
        User(username="kay", password="x", time_zone=name).clean_fields()

    assert set(refusal.value.message_dict) == {"time_zone"}


def test_a_zone_that_the_system_no_longer_knows_does_not_break_every_page(zone_of):
    assert zone_of(User(username="kay", time_zone="Mars/Olympus")) == "UTC"


@pytest.mark.parametrize(
    ("is_behind_proxy", "forwarded", "address"),
    [
        (False, "203.0.113.9", "10.0.0.1"),
        (True, "203.0.113.9", "203.0.113.9"),
        (True, "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        (True, "198.51.100.1, 2001:DB8::1", "2001:db8::1"),
        (True, "", "10.0.0.1"),
        (True, "203.0.113.9, not an address", "10.0.0.1"),
    ],
)
def test_a_login_is_throttled_by_the_address_that_only_our_proxy_can_write(
    rf, settings, is_behind_proxy, forwarded, address
):
    settings.SCHEMAEVO_BEHIND_PROXY = is_behind_proxy
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    request = rf.post("/admin/login/", REMOTE_ADDR="10.0.0.1", headers=headers)

    assert client_address(request) == address
    assert get_client_ip_address(request) == address
