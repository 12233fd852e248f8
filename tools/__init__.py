"""What developers run: pages made from the registries, full-size runs, simulations. Not part of the package."""
