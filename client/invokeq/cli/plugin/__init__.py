"""`invokeq plugin`: commands for authors of Dify plugins.

Here live the command line of `plugin run`, the reading of parameters and credentials, and the
printing of a plugin's messages. Plugin processes and their platform live in `invokeq.dify`.
"""
