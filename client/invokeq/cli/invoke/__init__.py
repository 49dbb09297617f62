"""`invokeq invoke`: one command for each kind of call, one file for each command.

Here live the commands, the common frame, and the reading of inputs. Printing of
answers lives in `cli.render`.
"""
