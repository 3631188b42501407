"""What is written and read here, against pamqp."""

import datetime as dt

import pytest
from pamqp import commands, frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.common import FieldTable
from pamqp.header import ContentHeader

from recmesh_kit import frames


def unmarshalled(data: bytes) -> list[object]:
    """The frames that pamqp finds, all of channel 7."""
    found: list[object] = []
    while data:
        size, channel, one = frame.unmarshal(data)
        assert channel == 7
        found.append(one)
        data = data[size:]
    return found


def content(value: Frame | ContentHeader) -> bytes:
    """The content of the frame that pamqp makes."""
    return frame.marshal(value, 7)[frames.HEAD.size : -len(frames.END)]


def published(body: bytes = b"body", frame_max: int = 0, **changes: object) -> bytes:
    given: dict[str, object] = {
        "headers": {},
        "message_id": None,
        "reply_to": None,
        "persistent": True,
        "mandatory": False,
    }
    return frames.publish(7, "ex", "key", body, frame_max=frame_max, **{**given, **changes})  # type: ignore[arg-type]


def test_a_message_is_written_in_full() -> None:
    headers = {"version": 1, "x-request-id": "r-ü", "big": 1 << 40, "low": -1}
    method, header, body = unmarshalled(
        published(headers=headers, message_id="m", reply_to="r", mandatory=True)
    )
    assert isinstance(method, commands.Basic.Publish)
    assert (method.exchange, method.routing_key, method.mandatory) == ("ex", "key", True)
    assert method.immediate is False
    assert isinstance(header, ContentHeader)
    assert header.body_size == 4
    properties = header.properties
    assert (properties.headers, properties.message_id, properties.reply_to) == (headers, "m", "r")
    assert properties.delivery_mode == 2
    assert isinstance(body, ContentBody)
    assert body.value == b"body"


def test_a_message_is_written_with_as_little_as_there_is() -> None:
    method, header = unmarshalled(published(b"", persistent=False))
    assert isinstance(method, commands.Basic.Publish)
    assert method.mandatory is False
    assert isinstance(header, ContentHeader)
    properties = header.properties
    assert (properties.headers, properties.message_id, properties.reply_to) == (None, None, None)
    assert (header.body_size, properties.delivery_mode) == (0, 1)


@pytest.mark.parametrize("length", [91, 92, 93, 184, 185])
def test_a_long_body_is_split_into_frames(length: int) -> None:
    body = bytes(range(length))
    _, header, *parts = unmarshalled(published(body, frame_max=100))
    assert isinstance(header, ContentHeader)
    assert header.body_size == length
    values = [part.value for part in parts if isinstance(part, ContentBody)]
    assert b"".join(values) == body
    assert [len(value) for value in values[:-1]] == [92] * (len(values) - 1)


def test_a_name_has_a_limit() -> None:
    with pytest.raises(ValueError, match="longer than 255"):
        published(reply_to="ü" * 128)


def test_settling() -> None:
    ack, nack = commands.Basic.Ack, commands.Basic.Nack
    for tag in (1, 1 << 40):
        for flag in (False, True):
            assert frames.ack(7, tag, multiple=flag) == frame.marshal(ack(tag, flag), 7)
            assert frames.nack(7, tag, requeue=flag) == frame.marshal(nack(tag, False, flag), 7)


def test_confirmations() -> None:
    assert frames.confirmed(content(commands.Basic.Ack(5, multiple=True))) == (5, True)
    assert frames.confirmed(content(commands.Basic.Ack(6, multiple=False))) == (6, False)
    nack = commands.Basic.Nack(7, multiple=False, requeue=True)
    assert frames.confirmed(content(nack)) == (7, False)


def test_a_return_is_read() -> None:
    given = commands.Basic.Return(312, "NO_ROUTE", "exchange", "a.ü")
    assert frames.returned(content(given)) == "a.ü"


@pytest.mark.parametrize("redelivered", [False, True])
def test_a_delivery_is_read(redelivered: bool) -> None:
    given = commands.Basic.Deliver("consumer", 1 << 33, redelivered, "exchange", "a.ü")
    assert frames.deliver(content(given)) == (1 << 33, redelivered, "a.ü")


def test_a_header_is_read_past_what_is_of_no_interest() -> None:
    now = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    headers: FieldTable = {"a": 1, "b": "two", "c": [True, None], "d": {"e": "f"}}
    full = commands.Basic.Properties(
        content_type="t",
        content_encoding="e",
        headers=headers,
        delivery_mode=2,
        priority=3,
        correlation_id="c",
        reply_to="r",
        expiration="9",
        message_id="m",
        timestamp=now,
        message_type="mt",
        user_id="u",
        app_id="a",
    )
    size, table, message_id, reply_to = frames.properties(content(ContentHeader(0, 123, full)))
    assert (size, message_id, reply_to) == (123, "m", "r")
    assert frames.table(table)["b"] == "two"
    assert frames.table(table).keys() == headers.keys()


def test_names_may_hold_any_bytes() -> None:
    given = commands.Basic.Properties(reply_to="r##", message_id="m##")
    broken = content(ContentHeader(0, 1, given)).replace(b"##", b"\xff\xc3")
    assert frames.properties(broken) == (1, b"", "m", "r")
    method = content(commands.Basic.Deliver("consumer", 1, False, "exchange", "a##"))
    assert frames.deliver(method.replace(b"##", b"\xff\xc3")).routing_key == "a"


def test_an_empty_header_is_read() -> None:
    read = frames.properties(content(ContentHeader(0, 0, commands.Basic.Properties())))
    assert read == (0, b"", None, None)
    assert frames.table(b"") == {}
