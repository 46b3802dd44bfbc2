"""Fakes, strategies and drills for those who test opcode or build on it. Nothing in the runtime imports this."""
