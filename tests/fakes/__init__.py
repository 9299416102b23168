"""Fake servers and drawn data for the tests."""
