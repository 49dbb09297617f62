"""Hold facts about models as data, and what follows from them: usage, prices, properties."""
