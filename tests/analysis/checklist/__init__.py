"""The checklist: each answer from records that a test wrote or carried out."""
