"""Pages of users, roles, jobs and the audit log; importing them registers them."""

from schemaevo.kernel.admin import audit, jobs, people

__all__ = ["audit", "jobs", "people"]
