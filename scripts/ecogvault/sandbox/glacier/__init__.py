"""A strict vault service on 127.0.0.1: what Amazon Glacier's REST API of 2012-06-01 takes, refuses and answers.

Facts come from the Amazon Glacier Developer Guide; docstrings name its page in quotes. What the guide leaves open is
decided towards refusing. Time is movable (see control): jobs take hours of it, inventories are made once a day of it.
State is on disk, one JSON file per thing, so that a server that was killed goes on where it was.
"""
