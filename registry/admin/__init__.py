"""The pages of this floor: schemas and their versions, extensions, compatibility."""

from registry.admin import compatibility, extensions, schemas

__all__ = ["compatibility", "extensions", "schemas"]
