"""The client without I/O: generators that yield commands, and are sent their results.

A driver performs the commands, with blocking calls or with asynchronous ones. So each operation is written once.
"""
