"""What did not fit yet: ingest, the front door, and the raw fragments it leaves.

Words of this floor, one per idea:

* *record*: one JSON object as it arrives.
* *ingest run*: one import of a file or stream, with its counts.
* *dead letter*: a record that was refused, kept with the reason.
* *raw fragment*: a field value that could not go into an observation, once per value, place and trust.
* *sighting*: one observation's carrying a fragment.
* *reason*: why it is a fragment: unknown_field, type_mismatch, constraint, invalid_name, converted_original.
* *lifecycle state*: active, promoted, archived, pending_deletion.
"""
