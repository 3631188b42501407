"""The floor: the same way by hand, with nothing but grpc.aio on uvloop, asyncpg, aio-pika and numpy.

What a call costs when there is nothing around it: no token is checked, no field validated, no admission, claim, lease,
history, log or metric. What is promised is kept: a job's row is committed before it is published (persistent and
confirmed, to a quorum queue), its result row is committed before the caller hears of it, and its message is
acknowledged last.
"""
