from django.apps import AppConfig


class SchemaevoConfig(AppConfig):
    """The project itself, installed so that its commands are found. It has no models."""

    name = "schemaevo"
