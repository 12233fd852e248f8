"""What every other package uses: types, interfaces (read `interfaces` first), errors, files, images."""
