"""Secrets: the vault and the redaction of outcomes. Nothing is here yet: definitions that name a secret are refused."""
