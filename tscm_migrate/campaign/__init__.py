"""Many migrations in one plan: pairs of appliances, in waves, each wave in its window, with a stop rule."""
