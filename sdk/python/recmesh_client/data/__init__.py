"""What goes in and comes out: plain frozen classes, without a word of any transport.

Ids are plain (`"films"`, `"alien-1979"`). Times are aware, in UTC. Sequences in answers are tuples. An enum value that
this version does not know reads as `UNKNOWN`.
"""
