"""Times on a page are in the zone of whoever looks."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils import timezone

from schemaevo.kernel.middleware import LoginTimeZone
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
