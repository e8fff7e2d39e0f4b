"""Collected information in, tables and pictures out; renderers hold no arithmetic."""
