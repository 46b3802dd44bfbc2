"""Drills of the runtime itself: each states its fault model, damages what it may, and reports what did not hold."""
