"""What we believe: sources, observations, and the snapshot of every entity.

Words of this floor, one per idea:

* *entity*: one thing of a type, owned by a user, named by its key.
* *source*: where observations came from; by default one import.
* *observation*: one immutable statement about an entity.
* *kind*: the sort of write an observation was (sensor, human, import, …); the *kind order* ranks them.
* *priority*, *specificity*: numbers of trust that come with an observation.
* *correction*: an observation by which a person says, with a reason, what one field is against all that was observed.
* *snapshot*: the merged current state of an entity, with *provenance*: which observation won each field.
* *merge state*: what the snapshot keeps so that one more observation never needs the history.
* *waiting*: reduced by other rules than those in force. *Divergent*: not what its observations say.
"""
