"""Finding plugins: hooks, descriptors, the loader and its reports. No torch here."""
