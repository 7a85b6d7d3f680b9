"""What went wrong once: a case per kind of fault, which would have caught it."""
