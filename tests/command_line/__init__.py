"""The command line and the public names, as a person meets them."""
