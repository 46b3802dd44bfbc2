"""Each of the demo's checks can fail."""
