"""Tools that make the starter (corpus and base models) again from nothing."""
