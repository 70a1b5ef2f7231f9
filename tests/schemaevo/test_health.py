"""What probes are told: by plain HTTP, under any host, without a session, and nothing that is secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client, override_settings

from schemaevo import health

#: What a probe of a production installation meets.
PRODUCTION = override_settings(SECURE_SSL_REDIRECT=True, ALLOWED_HOSTS=["store.example.org"])


def ask(path: str) -> tuple[int, dict[str, Any]]:
    answer = Client().get(path, headers={"host": "10.0.0.7:8000"})
    assert answer["Cache-Control"] == "no-store"
    assert not answer.cookies
    return answer.status_code, json.loads(answer.content)


@contextmanager
def database_at(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Iterator[None]:
    """Connections that are opened meanwhile go elsewhere."""
    with monkeypatch.context() as patch:
        patch.setattr(connections["default"], "settings_dict", {**connection.settings_dict, **changes})
        yield


@PRODUCTION
def test_a_live_process_says_so_and_asks_no_database() -> None:
    # Without the mark django_db any query fails.
    assert ask("/health/live") == (200, {"status": "live"})


@PRODUCTION
@pytest.mark.django_db
def test_an_installation_that_can_serve_is_ready() -> None:
    parts = {"database": "ok", "migrations": "ok", "redis": "ok"}

    assert ask("/health/ready") == (200, {"status": "ready", "missing": [], "parts": parts})
    assert Session.objects.count() == 0


@pytest.mark.django_db
def test_without_redis_it_is_ready_and_says_that_redis_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setitem(settings.RQ_QUEUES["interactive"], "URL", f"unix://{tmp_path}/nobody.sock")

    status, body = ask("/health/ready")

    assert (status, body["missing"], body["parts"]["redis"]) == (200, [], "missing")


@pytest.mark.django_db
def test_without_the_database_it_is_not_ready_and_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    with database_at(monkeypatch, HOST=str(tmp_path), PASSWORD="sesame", USER="alibaba"):
        status, body = ask("/health/ready")

    assert (status, body["missing"]) == (503, ["database"])
    assert body["parts"] == {"database": "missing", "migrations": "unknown", "redis": "ok"}
    assert not {"sesame", "alibaba", str(tmp_path)} & set(json.dumps(body).replace('"', " ").split())


@pytest.mark.django_db
def test_with_a_migration_missing_it_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    code = frozenset({*health._migrations_of_the_code(), ("kernel", "9999_of_tomorrow")})
    monkeypatch.setattr(health, "_migrations_of_the_code", lambda: code)

    status, body = ask("/health/ready")

    assert (status, body["missing"], body["parts"]["migrations"]) == (503, ["migrations"], "missing")
    assert health.unapplied_migrations(connection) == ["kernel.9999_of_tomorrow"]


@pytest.mark.django_db
def test_a_database_that_knows_more_than_the_code_is_ready() -> None:
    """As while a new release is rolled out: the old one still serves."""
    MigrationRecorder(connection).record_applied("kernel", "9999_of_tomorrow")

    assert health.unapplied_migrations(connection) == []


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_probes_only_ask(path: str) -> None:
    answer = Client().post(path)
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


@PRODUCTION
@pytest.mark.parametrize("path", ["/health/live/", "/health", "/health/ready/now"])
def test_only_these_two_addresses_pass_by_the_guards(path: str) -> None:
    assert Client().get(path, headers={"host": "10.0.0.7"}).status_code == 400
    answer = Client().get(path, headers={"host": "store.example.org"})
    assert (answer.status_code, answer["Location"]) == (301, f"https://store.example.org{path}")


def test_a_probe_gives_up_soon_and_keeps_the_options_that_were_set(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {**connection.settings_dict, "OPTIONS": {"sslmode": "require", "options": "-c work_mem=8MB"}}
    monkeypatch.setattr(connections["default"], "settings_dict", given)

    options = health.probe_of(connection, 3).settings_dict["OPTIONS"]

    assert options == {
        "sslmode": "require",
        "options": "-c work_mem=8MB -c statement_timeout=3000",
        "connect_timeout": 3,
        "tcp_user_timeout": 6000,
    }
    assert given["OPTIONS"]["options"] == "-c work_mem=8MB"
