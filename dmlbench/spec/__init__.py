"""Everything that is data: protocols, tracks, tasks, methods, runs and records. No torch here."""
