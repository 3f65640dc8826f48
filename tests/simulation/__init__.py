"""Series as networks give them, with known truth, for the tests and the published figures of detection."""
