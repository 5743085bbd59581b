"""Notices made the texts again that they stand for, in a process that may be another."""

from typing import Any

from distributed_prompt import notices
from distributed_prompt.lazy_str import LazyStr
from distributed_prompt.notices import Notice

EXACT = "exact"
DOCUMENTS = "documents"


def attach(value: Any) -> Any:
    """A value with the texts in the place of their notices.

    Args:
        value: a string that is a notice, or has some in it (of ``f"Summarise: {context}"``); a list or a dictionary of
            such; anything else is left alone.

    Returns:
        For a notice a :class:`LazyStr`, or what its form says: the mapped string, or the lazy sequence of documents;
        for a string with notices in it a lazy text in which they are replaced; where there is none, the value itself.

    Raises:
        AddressError: a text that was not opened from an address is gone.
        DPromptError: as :func:`distributed_prompt.open`.

    Cost: no shard, but for a mapped string.
    """
    if isinstance(value, str) and not isinstance(value, LazyStr):
        return _text(value)
    if isinstance(value, list):
        items = [attach(item) for item in value]
        if len(items) == 1 and isinstance(value[0], str) and not isinstance(items[0], str):
            return items[0]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    if isinstance(value, dict):
        attached = {key: attach(item) for key, item in value.items()}
        return attached if any(attached[key] is not value[key] for key in value) else value
    return value


def _text(text: str) -> Any:
    found = notices.found_in(text)
    if not found:
        return text
    if len(found) == 1 and found[0][:2] == (0, len(text)):
        return _formed(found[0])
    attached: Any = ""
    start = 0
    for notice in found:
        attached += text[start : notice.start] + LazyStr.at(notice.reference)
        start = notice.stop
    return attached + text[start:]


def _formed(notice: Notice) -> Any:
    text = LazyStr.at(notice.reference)
    if notice.reference.form == EXACT:
        return text.as_str()
    return text.documents.values() if notice.reference.form == DOCUMENTS else text
