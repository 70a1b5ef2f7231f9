"""Which shape is allowed: schemas and their versions.

Words of this floor, one per idea:

* *schema*: the declared fields of an entity type, global or owned by one user.
* *schema version*: one immutable state of a schema, numbered by semver.
* *definition*: the JSON document of a version: fields, merge policies, kind order.
* *in force*: the one version of a schema that is active.
* *effective schema*: what applies to one user's records of a type: the global version, the user's own, or both.
* *undeclared*: a type without either, for that user.
* *epoch*: a counter that goes up with every change of what is in force for a type and owner.
"""
