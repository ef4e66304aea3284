import os

import pytest

from pydicombatch.core.model import Identifiers
from pydicombatch.process.messages import LostError, Made, Refused, receive, send


@pytest.mark.parametrize(
    "message",
    [
        Refused("No", errno=28),
        Made(Identifiers("1", "2"), {"PatientID": "x"}, 3, "ab"),
    ],
)
def test_a_message_comes_out_as_it_went_in(message: object) -> None:
    reading, writing = os.pipe()
    send(writing, message)
    assert receive(reading, 5) == message
    os.close(reading)
    os.close(writing)


def test_the_end_of_the_other_side_is_noticed_when_reading_and_when_writing() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(LostError):
        receive(reading, 5)
    os.close(reading)
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(LostError):
        send(writing, "anything")
    os.close(writing)


def test_a_message_that_breaks_off_is_none() -> None:
    reading, writing = os.pipe()
    send(writing, "a whole message")
    content = os.read(reading, 1000)
    os.write(writing, content[:-3])
    os.close(writing)
    with pytest.raises(LostError):
        receive(reading, 5)
    os.close(reading)


def test_silence_is_not_waited_for_longer_than_asked() -> None:
    reading, writing = os.pipe()
    with pytest.raises(LostError):
        receive(reading, 0.0)
    os.close(reading)
    os.close(writing)
