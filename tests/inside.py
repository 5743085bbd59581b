"""What is behind a prompt, for tests that look inside."""

from distributed_prompt import DistributedPrompt
from distributed_prompt.shards import Shards


def shards_of(prompt: DistributedPrompt) -> Shards:
    """The shards of a prompt of a pack."""
    shards = prompt._characters
    assert isinstance(shards, Shards)
    return shards
