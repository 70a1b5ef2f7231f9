"""Every setting of the project. The only reader of the environment beside schemaevo.embedded.

Two ways to run, chosen by SCHEMAEVO_ENV:

* ``local`` (the default): what `make up` and `make test` use. The secret key and the addresses of the
  embedded servers come from the state directory; nothing needs to be configured.
* ``production``: every secret and address must be given; what is missing stops the start.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import dj_database_url
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse, reverse_lazy
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from schemaevo import embedded

if TYPE_CHECKING:
    from django.http import HttpRequest

BASE_DIR = Path(__file__).resolve().parent.parent


def _text(name: str, default: str | None = None) -> str:
    # Set but empty is how a variable that nobody filled in arrives from a compose file.
    value = os.environ.get(name) or default
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set; with SCHEMAEVO_ENV=production it must be.")
    return value


def _list(name: str, default: str | None) -> list[str]:
    return [part for piece in _text(name, default).split(",") if (part := piece.strip())]


def _number(name: str, default: int) -> int:
    text = _text(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text!r}.") from None


def _switch(name: str, default: bool) -> bool:
    text = _text(name, "1" if default else "0").strip().lower()
    if text not in {"1", "0", "true", "false", "yes", "no", "on", "off"}:
        raise ImproperlyConfigured(f"{name} must be 1 or 0, not {text!r}.")
    return text in {"1", "true", "yes", "on"}


SCHEMAEVO_ENV = os.environ.get("SCHEMAEVO_ENV", "local")
if SCHEMAEVO_ENV not in {"local", "production"}:
    raise ImproperlyConfigured(f"SCHEMAEVO_ENV must be local or production, not {SCHEMAEVO_ENV!r}.")
IS_LOCAL = SCHEMAEVO_ENV == "local"

# --- secrets and addresses ------------------------------------------------------------------------------
_found = embedded.urls() if IS_LOCAL else None
SECRET_KEY = _text("SCHEMAEVO_SECRET_KEY", embedded.secret_key() if IS_LOCAL else None)
DATABASE_URL = _text("DATABASE_URL", _found.database_url if _found else None)
REDIS_URL = _text("REDIS_URL", _found.redis_url if _found else None)
ALLOWED_HOSTS = _list("SCHEMAEVO_ALLOWED_HOSTS", "127.0.0.1,localhost,[::1]" if IS_LOCAL else None)
CSRF_TRUSTED_ORIGINS = _list("SCHEMAEVO_TRUSTED_ORIGINS", "")
DEBUG = _switch("SCHEMAEVO_DEBUG", default=False)

# --- applications ---------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "axes",
    "csp",
    "django_rq",
    "schemaevo",
    "schemaevo.kernel",
    "registry",
    "snapshots",
    "fragments",
]
# What lists and the dashboard read of slowly changing tables; off, nothing stands between them and the database.
SCHEMAEVO_PAGE_CACHE_ENABLED = _switch("SCHEMAEVO_PAGE_CACHE_ENABLED", True)
if SCHEMAEVO_PAGE_CACHE_ENABLED:
    INSTALLED_APPS += ["cachalot"]
MIDDLEWARE = [
    # Before the redirect to https and the check of hosts, which probes would not pass.
    "schemaevo.health.HealthProbes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "schemaevo.kernel.middleware.LoginTimeZone",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    # Axes asks to be last, so that it sees the outcome of a login.
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "schemaevo.urls"
WSGI_APPLICATION = "schemaevo.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- storage --------------------------------------------------------------------------------------------
DATABASES = {
    "default": {
        **dj_database_url.parse(DATABASE_URL, conn_max_age=60, conn_health_checks=True),
        "ATOMIC_REQUESTS": False,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "kernel.User"
SESSION_ENGINE = "django.contrib.sessions.backends.db"

# --- what pages remember of the registry (schemaevo.kernel.pages.cached) ---------------------------------
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "pages": {
        "BACKEND": "schemaevo.kernel.pages.cache_backend.PageCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "schemaevo:pages",
    },
}
# Tables that only services write, by the ORM and in transactions: no trigger, no COPY, no SQL. Tests see to it.
SCHEMAEVO_PAGE_CACHE_TABLES = ("schemas", "schema_registry", "schema_compatibility", "user_schema_extensions")
CACHALOT_CACHE = "pages"
CACHALOT_DATABASES = {"default"}
CACHALOT_ONLY_CACHABLE_TABLES = SCHEMAEVO_PAGE_CACHE_TABLES
# The longest that a page may be behind, whatever goes wrong; seconds.
CACHALOT_TIMEOUT = 60
CACHALOT_QUERY_KEYGEN = "schemaevo.kernel.pages.cached.query_key"
CACHALOT_TABLE_KEYGEN = "schemaevo.kernel.pages.cached.table_key"
# On, it would read the text of each statement of an ingest, and fail on those that psycopg composes.
CACHALOT_INVALIDATE_RAW = False

# --- background work: the job row is the truth, the queue a doorbell -------------------------------------
_QUEUE = {
    "URL": REDIS_URL,
    "SERIALIZER": "rq.serializers.JSONSerializer",
    "DEFAULT_TIMEOUT": 600,
    "DEFAULT_RESULT_TTL": 60,
}
RQ_QUEUES = {name: dict(_QUEUE) for name in ("interactive", "recompute", "lifecycle")}
RQ = {"WORKER_CLASS": "schemaevo.kernel.worker.QuickRecoveryWorker", "COMMIT_MODE": "auto"}
# The pages of django-rq let every member of staff empty a queue; the job pages here check permissions.
RQ_SHOW_ADMIN_LINK = False

# Where pages are served. `manage.py up` takes the port (0: 8000 or the next free one) on loopback; a container
# takes both.
SCHEMAEVO_PORT = _number("SCHEMAEVO_PORT", 0)
SCHEMAEVO_BIND = _text("SCHEMAEVO_BIND", "127.0.0.1")
SCHEMAEVO_LEASE_S = _number("SCHEMAEVO_LEASE_S", 60)
SCHEMAEVO_SWEEP_INTERVAL_S = _number("SCHEMAEVO_SWEEP_INTERVAL_S", 15)
SCHEMAEVO_JOB_MAX_ATTEMPTS = _number("SCHEMAEVO_JOB_MAX_ATTEMPTS", 5)
# A run longer than this goes on from its cursor in a new one, so that no job holds up the others. RQ ends a
# run at 600 s.
SCHEMAEVO_RUN_BUDGET_S = _number("SCHEMAEVO_RUN_BUDGET_S", 120)
SCHEMAEVO_LOCK_TIMEOUT_S = _number("SCHEMAEVO_LOCK_TIMEOUT_S", 30)
SCHEMAEVO_VERIFY_INTERVAL_S = _number("SCHEMAEVO_VERIFY_INTERVAL_S", 900)
SCHEMAEVO_VERIFY_SAMPLE = _number("SCHEMAEVO_VERIFY_SAMPLE", 500)
SCHEMAEVO_INLINE_RECOMPUTE_MAX = _number("SCHEMAEVO_INLINE_RECOMPUTE_MAX", 10_000)
# How many workers share one recomputation, as far as there are so many and it is worth it; and how many entities may
# fail in it before it is given up, since something else is wrong then.
SCHEMAEVO_RECOMPUTE_WORKERS = _number("SCHEMAEVO_RECOMPUTE_WORKERS", 4)
SCHEMAEVO_RECOMPUTE_FAILURES_MAX = _number("SCHEMAEVO_RECOMPUTE_FAILURES_MAX", 1000)
# What each process remembers of the schemas in force; off, every load reads the database.
SCHEMAEVO_SCHEMA_CACHE_ENABLED = _switch("SCHEMAEVO_SCHEMA_CACHE_ENABLED", True)
SCHEMAEVO_SCHEMA_CACHE_TTL_S = _number("SCHEMAEVO_SCHEMA_CACHE_TTL_S", 300)
SCHEMAEVO_SCHEMA_CACHE_MAX = _number("SCHEMAEVO_SCHEMA_CACHE_MAX", 10_000)
# The life of fragments. Promoted ones expire, and after a grace in which they can be restored they are deleted. What
# was seen rarely and not for long is archived: kept, and still evidence, for ever unless a retention is set.
SCHEMAEVO_PROMOTED_RETENTION_DAYS = _number("SCHEMAEVO_PROMOTED_RETENTION_DAYS", 30)
SCHEMAEVO_CLEANUP_ENABLED = _switch("SCHEMAEVO_CLEANUP_ENABLED", True)
SCHEMAEVO_CLEANUP_GRACE_HOURS = _number("SCHEMAEVO_CLEANUP_GRACE_HOURS", 24)
SCHEMAEVO_ARCHIVE_ENABLED = _switch("SCHEMAEVO_ARCHIVE_ENABLED", True)
SCHEMAEVO_ARCHIVE_AFTER_DAYS = _number("SCHEMAEVO_ARCHIVE_AFTER_DAYS", 90)
SCHEMAEVO_ARCHIVE_RETENTION_DAYS = _number("SCHEMAEVO_ARCHIVE_RETENTION_DAYS", 0)
SCHEMAEVO_LIFECYCLE_INTERVAL_S = _number("SCHEMAEVO_LIFECYCLE_INTERVAL_S", 3600)
#: How often fields are promoted by themselves, where that is wanted.
SCHEMAEVO_ENHANCE_INTERVAL_S = _number("SCHEMAEVO_ENHANCE_INTERVAL_S", 3600)
# What so many users do with a field of a type becomes a draft proposal for everyone's schema, and how often that is
# looked for. What one user does is no pattern.
SCHEMAEVO_PATTERN_USERS = _number("SCHEMAEVO_PATTERN_USERS", 10)
if SCHEMAEVO_PATTERN_USERS < 2:
    raise ImproperlyConfigured("SCHEMAEVO_PATTERN_USERS must be 2 or more.")
SCHEMAEVO_PATTERN_INTERVAL_S = _number("SCHEMAEVO_PATTERN_INTERVAL_S", 3600)
# Trends: how often days are counted, and how often undeclared fields over their owners.
SCHEMAEVO_FIGURES_INTERVAL_S = _number("SCHEMAEVO_FIGURES_INTERVAL_S", 900)
SCHEMAEVO_FIELD_GROWTH_INTERVAL_S = _number("SCHEMAEVO_FIELD_GROWTH_INTERVAL_S", 3600)
# How long the system's own ledgers are kept; 0 keeps them for ever. The audit log always is.
SCHEMAEVO_RETENTION_DAYS_JOBS = _number("SCHEMAEVO_RETENTION_DAYS_JOBS", 30)
SCHEMAEVO_RETENTION_DAYS_VERIFY = _number("SCHEMAEVO_RETENTION_DAYS_VERIFY", 90)
SCHEMAEVO_RETENTION_DAYS_DEAD_LETTERS = _number("SCHEMAEVO_RETENTION_DAYS_DEAD_LETTERS", 90)
SCHEMAEVO_RETENTION_DAYS_INGEST_RUNS = _number("SCHEMAEVO_RETENTION_DAYS_INGEST_RUNS", 365)
SCHEMAEVO_RETENTION_DAYS_FIGURES = _number("SCHEMAEVO_RETENTION_DAYS_FIGURES", 400)
SCHEMAEVO_RETENTION_INTERVAL_S = _number("SCHEMAEVO_RETENTION_INTERVAL_S", 86_400)
SCHEMAEVO_INGEST_BATCH_SIZE = _number("SCHEMAEVO_INGEST_BATCH_SIZE", 1000)
SCHEMAEVO_INGEST_BATCH_USERS = _number("SCHEMAEVO_INGEST_BATCH_USERS", 200)
# A run that stored no batch for so long is shown as interrupted: its process was killed, or its input stands still.
# It is looked for just as often.
SCHEMAEVO_INGEST_SILENCE_S = _number("SCHEMAEVO_INGEST_SILENCE_S", 600)
# Who is told when users come up to a maximum, with commas between the addresses; empty: nobody, the notices stand
# in the pages. How often that, and grants that ended, are looked for.
SCHEMAEVO_QUOTA_MAIL_TO = _list("SCHEMAEVO_QUOTA_MAIL_TO", "")
SCHEMAEVO_QUOTA_INTERVAL_S = _number("SCHEMAEVO_QUOTA_INTERVAL_S", 300)
# How many logins have to approve a proposal, and how long after its submission it expires; 0: never. How often that is
# looked for.
SCHEMAEVO_PROPOSAL_APPROVALS = _number("SCHEMAEVO_PROPOSAL_APPROVALS", 1)
if not 1 <= SCHEMAEVO_PROPOSAL_APPROVALS <= 20:
    raise ImproperlyConfigured("SCHEMAEVO_PROPOSAL_APPROVALS must be from 1 to 20.")
SCHEMAEVO_PROPOSAL_EXPIRY_DAYS = _number("SCHEMAEVO_PROPOSAL_EXPIRY_DAYS", 30)
#: How often users are counted of whom something does not agree with a global schema. Nothing is read of types in
#: which nothing changed since.
SCHEMAEVO_CONFLICTS_INTERVAL_S = _number("SCHEMAEVO_CONFLICTS_INTERVAL_S", 300)
SCHEMAEVO_PROPOSAL_INTERVAL_S = _number("SCHEMAEVO_PROPOSAL_INTERVAL_S", 3600)
# Whether logins with an address are told what happens to the proposals that concern them, and where the pages are that
# a mail leads to (such as https://schemas.example.org); empty: mails have no links.
SCHEMAEVO_PROPOSAL_MAIL = _switch("SCHEMAEVO_PROPOSAL_MAIL", True)
SCHEMAEVO_BASE_URL = _text("SCHEMAEVO_BASE_URL", "").rstrip("/")

# --- mail: of notices only ------------------------------------------------------------------------------
_mail_host = _text("SCHEMAEVO_MAIL_HOST", "")
# Without a server to send it through, a mail goes to the log.
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if _mail_host else 'console'}.EmailBackend"
EMAIL_HOST = _mail_host
EMAIL_PORT = _number("SCHEMAEVO_MAIL_PORT", 587)
EMAIL_HOST_USER = _text("SCHEMAEVO_MAIL_USER", "")
EMAIL_HOST_PASSWORD = _text("SCHEMAEVO_MAIL_PASSWORD", "")
EMAIL_USE_TLS = _switch("SCHEMAEVO_MAIL_TLS", default=True)
EMAIL_TIMEOUT = 30  # seconds
DEFAULT_FROM_EMAIL = _text("SCHEMAEVO_MAIL_FROM", "schemaevo@localhost")

# --- signing in -----------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
AXES_FAILURE_LIMIT = _number("SCHEMAEVO_LOGIN_FAILURE_LIMIT", 10)
AXES_COOLOFF_TIME = _number("SCHEMAEVO_LOGIN_COOLOFF_H", 1)  # hours
# A name under attack from one address is locked for that address alone: nobody can lock out an operator
# from elsewhere.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_ON_SUCCESS = True
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False
AXES_LOCKOUT_TEMPLATE = "admin/locked_out.html"
AXES_CLIENT_IP_CALLABLE = "schemaevo.kernel.middleware.client_address"

# --- the browser ----------------------------------------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        # Alpine, which Unfold is built on, evaluates its attributes.
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
# Plain HTTP is served on loopback only; elsewhere TLS ends before us, in a proxy that sets X-Forwarded-Proto and
# adds to X-Forwarded-For. Where there is none, anybody can write these headers, and they must not be believed.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = not IS_LOCAL
SECURE_HSTS_SECONDS = 0 if IS_LOCAL else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not IS_LOCAL
SCHEMAEVO_BEHIND_PROXY = _switch("SCHEMAEVO_BEHIND_PROXY", default=not IS_LOCAL)
if SCHEMAEVO_BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

STATIC_URL = "/static/"
STATIC_ROOT = Path(_text("SCHEMAEVO_STATIC_ROOT", str(embedded.state_home() / "static")))
STATICFILES_DIRS = [BASE_DIR / "schemaevo" / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

LANGUAGE_CODE = "en"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": _text("SCHEMAEVO_LOG_LEVEL", "INFO")},
    "loggers": {"axes": {"level": "WARNING"}, "rq.cron": {"level": "WARNING"}},
}


# --- the admin's looks ----------------------------------------------------------------------------------
# Pages with an entry of their own below the address of a list, whose entry is not marked on them.
_OWN_ENTRIES = ("/conflicts/", "/effective/", "/queues/")


def _entry(title: str, icon: str, model: str, page: str = "changelist") -> dict[str, object]:
    app, name = model.split(".")
    link = reverse_lazy(f"admin:{app}_{name}_{page}")

    def is_open(request: "HttpRequest") -> bool:
        if page != "changelist":
            return request.path == str(link)
        return request.path.startswith(str(link)) and not request.path.endswith(_OWN_ENTRIES)

    return {
        "title": _(title),
        "icon": icon,
        "link": link,
        "permission": lambda request: request.user.has_perm(f"{app}.view_{name}"),
        "active": is_open,
    }


def _proposals_link(request: "HttpRequest") -> str:
    # Who may decide comes for what waits for them; the list has all of it, one tab further.
    every = reverse("admin:registry_proposal_changelist")
    return f"{every}?desk=review" if request.user.has_perm("registry.decide_proposal") else every


UNFOLD = {
    "SITE_TITLE": "schemaevo",
    "SITE_HEADER": "schemaevo",
    "SITE_SUBHEADER": _("Schema evolution, governed"),
    "SITE_SYMBOL": "schema",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "schemaevo.admin.dashboard",
    "STYLES": [
        lambda request: static("schemaevo/admin.css"),
        lambda request: static("schemaevo/dashboard.css"),
        lambda request: static("schemaevo/quotas.css"),
        lambda request: static("schemaevo/schemas.css"),
        lambda request: static("schemaevo/editor.css"),
        lambda request: static("schemaevo/jobs.css"),
        lambda request: static("schemaevo/verifications.css"),
        lambda request: static("schemaevo/fragments.css"),
        lambda request: static("schemaevo/bulk.css"),
        lambda request: static("schemaevo/promotions.css"),
        lambda request: static("schemaevo/proposals.css"),
        lambda request: static("schemaevo/desk.css"),
        lambda request: static("schemaevo/trends.css"),
        lambda request: static("schemaevo/corrections.css"),
        lambda request: static("schemaevo/erasure.css"),
        lambda request: static("schemaevo/exports.css"),
        lambda request: static("schemaevo/reach.css"),
        lambda request: static("schemaevo/sources.css"),
        lambda request: static("schemaevo/entities.css"),
        lambda request: static("schemaevo/views.css"),
    ],
    # Where there are links of our own, Unfold's one to the password is not shown.
    "ACCOUNT": {
        "navigation": [
            {"title": _("My views"), "link": reverse_lazy("views")},
            {"title": _("Change password"), "link": reverse_lazy("admin:password_change")},
        ]
    },
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    {"title": _("Dashboard"), "icon": "dashboard", "link": reverse_lazy("admin:index")},
                ]
            },
            {
                "title": _("Schemas"),
                "separator": True,
                "items": [
                    _entry("Schemas", "schema", "registry.schema"),
                    _entry("Versions", "history", "registry.schemaversion"),
                    {
                        **_entry("Proposals", "approval", "registry.proposal"),
                        "link": _proposals_link,
                        "badge": "registry.admin.proposal_desk.waiting_badge",
                        "badge_variant": "primary",
                    },
                    _entry("Extensions", "tune", "registry.extensionrevision"),
                    _entry("Conflicts", "rule_settings", "registry.extensionrevision", "conflicts"),
                    _entry("Effective schema", "fact_check", "registry.schema", "effective"),
                    _entry("Compatibility", "rule", "registry.schemacompatibility"),
                ],
            },
            {
                "title": _("Quotas"),
                "separator": True,
                "items": [
                    {
                        **_entry("Upgrade requests", "move_to_inbox", "registry.quotarequest"),
                        # What waits for a decision; the list itself has all of them.
                        "link": format_lazy(
                            "{}?state=pending", reverse_lazy("admin:registry_quotarequest_changelist")
                        ),
                        "badge": "registry.admin.quota_requests.waiting_badge",
                        "badge_variant": "primary",
                    },
                    _entry("Quotas", "data_usage", "registry.userquota"),
                    _entry("Notices", "notifications", "registry.quotanotice"),
                ],
            },
            {
                "title": _("What we believe"),
                "separator": True,
                "items": [
                    _entry("Snapshots", "deployed_code", "snapshots.entitysnapshot"),
                    _entry("Observations", "visibility", "snapshots.observation"),
                    _entry("Sources", "source", "snapshots.source"),
                ],
            },
            {
                "title": _("What came in"),
                "separator": True,
                "items": [
                    _entry("Fragments", "extension", "fragments.rawfragment"),
                    _entry("Undeclared fields", "bar_chart", "fragments.rawfragmentaggregate"),
                    _entry("Ingest runs", "input", "fragments.ingestrun"),
                    _entry("Dead letters", "report", "fragments.deadletter"),
                ],
            },
            {
                "title": _("How schemas grow"),
                "separator": True,
                "items": [
                    _entry("Fields", "query_stats", "fragments.fieldtotal"),
                    _entry("Promotions", "move_up", "fragments.promotion"),
                    _entry("Enhancements", "auto_awesome", "fragments.enhancement"),
                    _entry("Auto-enhancement", "tune", "fragments.enhancementsetting"),
                    _entry("Acts in bulk", "checklist", "fragments.bulkact"),
                ],
            },
            {
                "title": _("Operation"),
                "separator": True,
                "items": [
                    _entry("Jobs", "work_history", "kernel.job"),
                    _entry("Queues", "queue", "kernel.job", "queues"),
                    _entry("Verifications", "verified", "kernel.verifyoutcome"),
                    _entry("Audit log", "policy", "kernel.auditevent"),
                    _entry("Users", "group", "kernel.user"),
                    _entry("Erasures", "ink_eraser", "kernel.erasure"),
                    _entry("Roles", "badge", "auth.group"),
                ],
            },
        ],
    },
}
