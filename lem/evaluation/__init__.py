"""Judging on the same paths: orders, baselines, statistics, tables."""
