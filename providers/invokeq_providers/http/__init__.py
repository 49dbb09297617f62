"""Speak HTTP to vendors, and map statuses and transport faults to errors."""
