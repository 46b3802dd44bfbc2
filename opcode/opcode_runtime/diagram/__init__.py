"""Pictures of definitions and workflows. Nothing is here yet."""
