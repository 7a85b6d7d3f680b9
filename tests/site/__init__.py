"""The site: what its pages are made of, links between documents, the built pages."""
