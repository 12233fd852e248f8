"""Components, one folder a kind, one file a component; each is found by its registry in `core.interfaces`."""
