"""The project's own benchmark: what the whole server does, on this machine, with what pip installs.

Not Locust: one process on uvloop whose devices do as little as can be, so that the server is the bottleneck
where there is one. Each message is followed to its ACK and to every device all the same.
"""
