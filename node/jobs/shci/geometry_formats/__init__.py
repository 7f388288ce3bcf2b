"""The ways in which people write down a molecule: each is read as it is meant, or refused by its name."""
