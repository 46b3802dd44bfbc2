"""What an operator does with a journal: verify, replay, back up, restore, export, import, look after."""
