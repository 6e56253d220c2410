"""Trains one model of one tenant: one job, one process, one result file."""
