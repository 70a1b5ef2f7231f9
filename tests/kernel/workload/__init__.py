"""An app of job kinds for worker processes that tests start."""
