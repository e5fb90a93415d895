"""Recorded sessions: writing, reading, checking, cutting, joining and shrinking them."""
