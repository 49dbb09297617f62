"""`invokeq invoke`: one command for each kind of call, one file for each command.

Here live the commands, the frame that all share, and the reading of their inputs. Printing of
answers lives in `cli.render`.
"""
