"""The shell around the core: actors, the journal writer, effects, recovery, and the router that fronts talk to."""
