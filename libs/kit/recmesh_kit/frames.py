"""AMQP 0-9-1 on the wire (www.rabbitmq.com/amqp-0-9-1-protocol): the frames of which there is one or more a message.

pamqp knows all frames, by tables that it walks through for each field; that is most of what a message costs. What is
rare stays with it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from pamqp import decode

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
DELIVER, RETURN, ACK, NACK = 0x003C003C, 0x003C0032, 0x003C0050, 0x003C0078
CLOSE = 0x00140028
"""Class and method."""

HEAD = struct.Struct(">BHI")
"""Kind of frame, channel, bytes of content; after the content comes `END`."""
END = b"\xce"
HEARTBEAT_FRAME = HEAD.pack(HEARTBEAT, 0, 0) + END

_PUBLISH = bytes.fromhex("003c0028 0000")
_CONFIRM = struct.Struct(">QB")
_SETTLE = struct.Struct(">BHIIQBB")
_CONTENT = struct.Struct(">HHQH")
_LONG = struct.Struct(">q")
_SIZE = struct.Struct(">I")
_TAG = struct.Struct(">QB")
_BASIC = 60
_HAS_CONTENT_TYPE, _HAS_ENCODING, _HAS_HEADERS, _HAS_MODE = 1 << 15, 1 << 14, 1 << 13, 1 << 12
_HAS_PRIORITY, _HAS_CORRELATION_ID, _HAS_REPLY_TO = 1 << 11, 1 << 10, 1 << 9
_HAS_EXPIRATION, _HAS_ID = 1 << 8, 1 << 7

Headers = Mapping[str, str | int]


class Properties(NamedTuple):
    """What stands in the header of a message."""

    size: int
    headers: bytes
    message_id: str | None
    reply_to: str | None


class Deliver(NamedTuple):
    """What stands in the method that delivers a message."""

    tag: int
    redelivered: bool
    routing_key: str


def publish(
    channel: int,
    exchange: str,
    routing_key: str,
    body: bytes,
    *,
    headers: Headers,
    message_id: str | None,
    reply_to: str | None,
    persistent: bool,
    mandatory: bool,
    frame_max: int,
) -> bytes:
    """The frames that publish a message.

    Raises:
        ValueError: A name is longer than 255 bytes.
    """
    flags, properties = 0, b""
    if headers:
        flags |= _HAS_HEADERS
        properties += _table(headers)
    flags |= _HAS_MODE
    properties += b"\x02" if persistent else b"\x01"
    if reply_to is not None:
        flags |= _HAS_REPLY_TO
        properties += _short(reply_to)
    if message_id is not None:
        flags |= _HAS_ID
        properties += _short(message_id)
    parts = [
        _publish_method(channel, exchange, routing_key, mandatory),
        HEAD.pack(HEADER, channel, _CONTENT.size + len(properties)),
        _CONTENT.pack(_BASIC, 0, len(body), flags),
        properties,
        END,
    ]
    most = frame_max - HEAD.size - len(END) if frame_max else len(body)
    for at in range(0, len(body), most or 1):
        part = body[at : at + most]
        parts += (HEAD.pack(BODY, channel, len(part)), part, END)
    return b"".join(parts)


def ack(channel: int, tag: int, *, multiple: bool) -> bytes:
    """The frame that acknowledges a delivery; `multiple`: and all before it."""
    return _SETTLE.pack(METHOD, channel, 13, ACK, tag, multiple, END[0])


def nack(channel: int, tag: int, *, requeue: bool) -> bytes:
    """The frame that gives a delivery back, or throws it away."""
    return _SETTLE.pack(METHOD, channel, 13, NACK, tag, requeue << 1, END[0])


def confirmed(content: bytes) -> tuple[int, bool]:
    """Tag, and whether all before it are meant too, of the broker's ack or nack."""
    tag, bits = _CONFIRM.unpack_from(content, 4)
    return tag, bool(bits & 1)


def deliver(content: bytes) -> Deliver:
    """What the method says that delivers a message."""
    at = 5 + content[4]
    tag, redelivered = _TAG.unpack_from(content, at)
    at += _TAG.size
    at += 1 + content[at]
    return Deliver(tag, bool(redelivered & 1), _text(content[at + 1 : at + 1 + content[at]]))


def returned(content: bytes) -> str:
    """The routing key in the method that returns a message."""
    at = 6
    for _ in range(2):
        at += 1 + content[at]
    return content[at + 1 : at + 1 + content[at]].decode()


def properties(content: bytes) -> Properties:
    """What the header of a message says."""
    _, _, size, flags = _CONTENT.unpack_from(content)
    at = _CONTENT.size
    headers, message_id, reply_to = b"", None, None
    for flag in (_HAS_CONTENT_TYPE, _HAS_ENCODING):
        if flags & flag:
            at += 1 + content[at]
    if flags & _HAS_HEADERS:
        end = at + 4 + _SIZE.unpack_from(content, at)[0]
        headers, at = content[at:end], end
    at += bool(flags & _HAS_MODE) + bool(flags & _HAS_PRIORITY)
    if flags & _HAS_CORRELATION_ID:
        at += 1 + content[at]
    if flags & _HAS_REPLY_TO:
        end = at + 1 + content[at]
        reply_to, at = _text(content[at + 1 : end]), end
    if flags & _HAS_EXPIRATION:
        at += 1 + content[at]
    if flags & _HAS_ID:
        message_id = _text(content[at + 1 : at + 1 + content[at]])
    return Properties(size, headers, message_id, reply_to)


def table(content: bytes) -> dict[str, Any]:
    """The headers of a message."""
    return decode.field_table(content)[1] if content else {}


def _text(encoded: bytes) -> str:
    # Whoever publishes may put in any bytes. One message must not end the connection, again at each redelivery; what
    # is left is no longer than it was, so that it can be published to.
    return encoded.decode(errors="ignore")


@lru_cache(maxsize=256)
def _publish_method(channel: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    content = _PUBLISH + _short(exchange) + _short(routing_key) + bytes([mandatory])
    return HEAD.pack(METHOD, channel, len(content)) + content + END


@lru_cache(maxsize=256)
def _name(name: str) -> bytes:
    return _short(name)


def _short(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > 255:
        raise ValueError(f"longer than 255 bytes: {text[:50]!r}…")
    return bytes((len(encoded),)) + encoded


def _table(headers: Headers) -> bytes:
    parts = []
    for name, value in headers.items():
        parts.append(_name(name))
        if isinstance(value, int):
            parts.append(b"l" + _LONG.pack(value))
        else:
            encoded = value.encode()
            parts += (b"S", _SIZE.pack(len(encoded)), encoded)
    content = b"".join(parts)
    return _SIZE.pack(len(content)) + content
