"""Telling people: the outbox of messages, the channels they go through, and the texts."""
