"""Print what the commands have to show: tables, answers, audio, meters.

Nothing here talks to Redis.
"""
