"""Actions served by processes of their own. Nothing is here yet."""
