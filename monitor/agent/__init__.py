"""A machine of somebody else that measures and pushes: it dials out, and its owner has the last word."""
