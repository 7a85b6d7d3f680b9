"""Images: what is read, drawn, downloaded and refused."""
