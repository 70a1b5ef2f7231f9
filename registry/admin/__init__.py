"""The pages of this floor: schemas and their versions, extensions, compatibility, quotas and upgrade requests."""

from registry.admin import compatibility, extensions, quota_notices, quota_requests, quotas, schemas

__all__ = ["compatibility", "extensions", "quota_notices", "quota_requests", "quotas", "schemas"]
