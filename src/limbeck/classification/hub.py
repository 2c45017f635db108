"""The model hub: whether it can be reached, told in seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from huggingface_hub import constants, get_session

_SECONDS = 5.0


@contextmanager
def hub() -> Iterator[str]:
    """Why the hub cannot be reached, or nothing. Inside, what is asked of a hub that is away comes from the cache or
    fails at once: by itself it would be asked for most of a minute.

    >>> with hub() as away:
    ...     _ = away or "the hub answers"
    """
    before = constants.HF_HUB_OFFLINE
    away = "HF_HUB_OFFLINE is set" if before else _silence()
    constants.HF_HUB_OFFLINE = bool(away)
    try:
        yield away
    finally:
        constants.HF_HUB_OFFLINE = before


def _silence() -> str:
    told = [f"{constants.ENDPOINT} does not answer within {_SECONDS:.0f} seconds"]

    def knock() -> None:
        try:
            get_session().head(constants.ENDPOINT, timeout=_SECONDS)
            told.append("")
        except Exception as error:  # each version of the hub's client has its own
            told.append(f"{constants.ENDPOINT} cannot be reached: {str(error) or type(error).__name__}")

    knocking = Thread(target=knock, daemon=True)  # looking its name up knows no time limit
    knocking.start()
    knocking.join(_SECONDS)
    return told[-1]
