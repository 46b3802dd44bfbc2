"""Crash-recovery drills of a user's own workflows: cut at every commit, compare with the uninterrupted twin."""
