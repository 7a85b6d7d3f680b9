"""How it is searched and recorded."""
