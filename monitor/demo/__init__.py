"""The demonstration: a story played in the laboratory, and what the real daemon concludes from it."""
