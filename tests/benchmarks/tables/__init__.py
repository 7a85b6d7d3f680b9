"""Tables: read, packed, imported, asked, trained and refused."""
