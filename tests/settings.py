"""The project's settings as tests run with them: on servers of their own.

Importing this starts a PostgreSQL and a Valkey for the session, unless `DATABASE_URL` and `REDIS_URL` name others;
it has to happen here, since pytest-django reads the settings before any conftest is loaded. With xdist the
controller starts them and every worker inherits the addresses; each worker has its own database (pytest-django's
suffix) and its own Valkey database.
"""

import atexit
import os
from contextlib import ExitStack

from schemaevo import embedded
from tests import template

#: Closed by conftest when the session ends, and at exit in any case.
servers = ExitStack()
atexit.register(servers.close)

_worker = os.environ.get("PYTEST_XDIST_WORKER")
if _worker is None:
    _servers = servers.enter_context(embedded.throwaway_servers())
    os.environ["DATABASE_URL"] = _servers.database_url
    os.environ["REDIS_URL"] = _servers.redis_url
    os.environ.setdefault("SCHEMAEVO_SECRET_KEY", "only-for-tests")
    if _servers.has_postgres:
        os.environ[template.IS_WANTED] = "yes"
else:
    _base, _, _query = os.environ["REDIS_URL"].partition("?")
    _number = int(_worker.removeprefix("gw")) + 1
    os.environ["REDIS_URL"] = (
        f"{_base}?db={_number}" if _base.startswith("unix:") else f"{_base.rsplit('/', 1)[0]}/{_number}"
    )

from schemaevo.settings import *  # noqa: E402, F403
from schemaevo.settings import INSTALLED_APPS, STATIC_ROOT, STORAGES  # noqa: E402

# For its command that ends a test that commits.
INSTALLED_APPS = [*INSTALLED_APPS, "tests.emptying"]

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# The manifest of hashed files exists only after collectstatic.
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
# Nothing is collected here, and whitenoise warns about a folder that does not exist.
STATIC_ROOT.mkdir(parents=True, exist_ok=True)
