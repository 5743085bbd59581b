"""A recursive language model maps and reduces: first with threads, over everything, then with sub-models, over a part.

    python -m examples.map_reduce                      1,000,000 messages, 57 MB
    python -m examples.map_reduce --messages 20_000    a quick try

What code can count, code counts: messages a day. What has to be read is read by sub-models, a chunk each: which topics
the messages of the busiest day have.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed_prompt as dp
from distributed_prompt.integrations.rlms import as_context, repl_environment
from examples.model import RLM, Transcript, measured, model

DAYS = [f"2026-03-{day:02d}" for day in range(1, 32)]
# What customers write, by topic, and a word by which the scripted model knows it.
TOPICS = {
    "delivery": ("parcel", ["My parcel has not come yet.", "The parcel lies with a neighbour I do not know."]),
    "payment": ("charged", ["I was charged twice for this order.", "Why have I been charged for postage?"]),
    "login": ("password", ["The site says that my password is wrong.", "No mail comes when I reset my password."]),
    "praise": ("thank", ["All is well, thank you.", "Please thank the one who repaired my lamp."]),
}
QUESTION = (
    "Each line of the context is a message: date, number, text. On the busiest day, how many messages were there on "
    f"each of the topics {', '.join(TOPICS)}? Answer with JSON alone: an object with the keys date and counts."
)

# What the scripted model writes, a cell a turn. A real one writes its own.
CELLS = [
    r"""
print(type(context), f"{len(context):,} characters")
print(context[:300])
""",
    r"""
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

size = 2_000_000
cuts = [0, *(context.find("\n", at) + 1 for at in range(size, len(context), size)), len(context)]

def days(number):
    return Counter(line[:10] for line in context[cuts[number]:cuts[number + 1]].splitlines())

with ThreadPoolExecutor() as pool:
    per_day = sum(pool.map(days, range(len(cuts) - 1)), Counter())
print(len(cuts) - 1, "chunks,", per_day.total(), "messages")
print(per_day.most_common(3))
""",
    r"""
day, messages = per_day.most_common(1)[0]
first = context.find(day)
last = context.rfind("\n" + day)
those = context[first:context.find("\n", last + 1)].split("\n")
print(len(those) == messages, those[0], those[-1], sep="\n")
chunks = ["\n".join(those[at:at + 1_500]) for at in range(0, len(those), 1_500)]
print(len(chunks), "chunks of", max(map(len, chunks)), "characters at most")
""",
    r"""
import json
task = ("Count the messages below by their topic, which is one of delivery, payment, login, praise. "
        "Answer with JSON alone, an object of topics and counts.\n\n")
counts = Counter()
for at in range(0, len(chunks), 20):
    for reply in llm_query_batched([task + chunk for chunk in chunks[at:at + 20]]):
        counts.update(json.loads(reply))
print(counts, counts.total() == messages)
""",
    r"""
answer["content"] = json.dumps({"date": day, "counts": counts})
answer["ready"] = True
""",
]


def read(prompt: str) -> str:
    """What the scripted model says to what it is sent by ``llm_query``."""
    _, _, messages = prompt.partition("\n\n")
    return json.dumps({topic: messages.count(word) for topic, (word, _) in TOPICS.items()})


def parsed(answer: str) -> Any:
    """The JSON in an answer, or None."""
    try:
        return json.loads(answer[answer.find("{") : answer.rfind("}") + 1])
    except ValueError:
        return None


def mailbox(count: int) -> Iterator[tuple[str, str, str]]:
    """The date, the topic and the line of each message, always the same ones, in order of their dates."""
    chance = random.Random(count)  # noqa: S311  # to be the same every time, not to be secret
    dates = sorted(chance.choices(DAYS, [chance.uniform(1, 2) for _ in DAYS], k=count))
    for number, date in enumerate(dates):
        topic = chance.choice(list(TOPICS))
        yield date, topic, f"{date} #{number:07d} {chance.choice(TOPICS[topic][1])}\n"


def main() -> None:
    """Write the messages, pack, ask, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    count = parser.parse_args().messages
    if count < 1:
        parser.error("--messages: at least 1")
    truth: dict[str, Counter[str]] = {date: Counter() for date in DAYS}
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "messages.txt"
        with measured("Packed"):
            with text.open("w", encoding="utf-8") as file:
                for date, topic, line in mailbox(count):
                    truth[date][topic] += 1
                    file.write(line)
            info = dp.pack(text, Path(folder) / "messages.dprompt")
        print(f"{info.path}: {info.length:,} characters in {info.pack_bytes:,} bytes")
        print(f"\n{QUESTION}")
        with model(CELLS, read) as chosen, measured("Answered"):
            rlm = RLM(**chosen, **repl_environment(), logger=Transcript())
            answer = rlm.completion(as_context(info.path), root_prompt=QUESTION).response
    busiest = max(truth, key=lambda date: truth[date].total())
    right = {"date": busiest, "counts": dict(truth[busiest])}
    is_right = parsed(answer) == right
    print(f"The answer is {answer}, which is {'right' if is_right else f'WRONG: it is {right}'}.")
    sys.exit(not is_right)


if __name__ == "__main__":
    main()
