"""Schedules of faults over scoring: is each event scored once, and soon after the last fault?"""
