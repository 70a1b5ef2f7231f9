"""The pause on pages: a banner on every one, and a switch for those who may."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from fragments.models import IngestState
from schemaevo.kernel.models import AuditEvent, JobState
from schemaevo.kernel.pause import pause_now, store_pause
from tests.admin.test_dashboard import LIVE, make_job, make_silent_run
from tests.admin.test_pages import text_of
from tests.factories import SHELL

pytestmark = pytest.mark.django_db

BANNER = "All ingest and all jobs are paused."


def pages() -> list[str]:
    return [reverse(name) for name in ("admin:index", "admin:password_change")]


def test_a_banner_stands_on_every_page_while_everything_is_paused(client_of):
    viewer, operator = client_of("viewer"), client_of("operator")
    for url in pages():
        assert BANNER not in viewer.get(url).content.decode()

    store_pause(actor=SHELL, reason="<b>disk</b>")

    for url in pages():
        seen = viewer.get(url).content.decode()
        assert BANNER in seen
        assert "&lt;b&gt;disk&lt;/b&gt;" in seen
        assert reverse("resume") not in seen
        assert reverse("resume") in operator.get(url).content.decode()
    assert BANNER not in Client().get(reverse("admin:login")).content.decode()


def test_an_operator_pauses_on_the_first_page_and_resumes_on_any(client_of):
    operator = client_of("operator")
    assert reverse("pause") in operator.get("/admin/").content.decode()

    answer = operator.post(reverse("pause"), {"reason": "lunch"}, follow=True)
    assert "lunch" in answer.content.decode()
    assert reverse("pause") not in answer.content.decode()
    assert AuditEvent.objects.get(action="store.pause").actor is not None

    answer = operator.post(reverse("resume"), follow=True)
    assert "Ingest and jobs run again." in answer.content.decode()
    assert BANNER not in answer.content.decode()
    assert "Nothing was paused" in operator.post(reverse("resume"), follow=True).content.decode()


def test_it_is_told_what_a_pause_would_stop(client_of):
    operator = client_of("operator")

    def said(url):
        html = operator.get(url).content.decode()
        found = re.search(r'<p class="se-pause-stops".*?</p>', html, re.DOTALL)
        return text_of(found.group(0)).strip() if found else None

    for url in ("/admin/", LIVE):
        assert said(url) == "No job is at work. No ingest run stores records."
    make_job(JobState.RUNNING, target="1")
    make_job(JobState.RUNNING, target="2")
    # Its worker is gone, and others only wait.
    make_job(JobState.RUNNING, target="3", lease_expires_at=timezone.now() - timedelta(minutes=1))
    make_job(JobState.PENDING, target="4")
    make_silent_run(state=IngestState.RUNNING, finished_at=None)
    for url in ("/admin/", LIVE):
        assert said(url) == (
            "2 jobs are at work, and would stop after their batches. "
            "1 ingest run stores records: it would end, and be run again later."
        )
    assert "se-pause-stops" not in client_of("viewer").get(LIVE).content.decode()
    store_pause(actor=SHELL)
    assert said(LIVE) is None


def test_a_reason_that_is_refused_is_told(client_of):
    answer = client_of("operator").post(reverse("pause"), {"reason": "x" * 501}, follow=True)

    assert "A reason is one line" in answer.content.decode()
    assert pause_now() is None


def test_who_may_not_switch_cannot(client_of):
    viewer = client_of("viewer")
    assert reverse("pause") not in viewer.get("/admin/").content.decode()

    for name in ("pause", "resume"):
        assert viewer.post(reverse(name)).status_code == 403
        assert viewer.get(reverse(name)).status_code == 405
        answer = Client().post(reverse(name))
        assert (answer.status_code, answer["Location"].split("?")[0]) == (302, reverse("admin:login"))
    assert pause_now() is None


def test_a_form_from_elsewhere_is_refused(client_of):
    operator = client_of("operator")
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = operator.cookies

    for name in ("pause", "resume"):
        assert strict.post(reverse(name)).status_code == 403
    assert pause_now() is None
