"""A built-in persona that answers from a script: no network, and never twice the same if it can help it."""

import asyncio
import random
import re
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Final, NamedTuple

from server.core.turn_rules import Turn
from server.protocol import Finish, MessageType


class _Topic(NamedTuple):
    """What is said when the pattern occurs in a message."""

    pattern: re.Pattern[str]
    lines: Sequence[str]


def _topic(pattern: str, *lines: str) -> _Topic:
    return _Topic(re.compile(pattern, re.IGNORECASE), lines)


# The first that fits decides, so what is particular stands before what is general.
_TOPICS: Final = (
    _topic(
        r"\b(bye|good ?night|see you|gotta go|ttyl|ciao|tsch(ü|ue)ss)\b",
        "Already? Fine, but you owe me the rest of that story. Sleep well!",
        "See you soon! I'll be the one pretending not to wait for your message.",
        "Bye for now. I had a really nice time talking to you.",
        "Go, go. But come back and tell me how it went.",
    ),
    _topic(
        r"\b(are you (real|human|a bot|an ai)|you('re| are) (a bot|an ai)|chatbot|robot)\b",
        "Honestly? I'm a demo: a small script with a big heart. Put a real AI behind me and I get smarter.",
        "Scripted, I admit it. But I do listen, after a fashion!",
        "A few hundred lines of Python in a trench coat. Don't tell anyone.",
    ),
    _topic(
        r"\b(your name|who are you|about you(rself)?)\b",
        "I'm {name}. I like rainy Sundays, bad puns and people who answer questions with stories. And you?",
        "{name}, nice to meet you properly! Three words about you: go.",
        "They call me {name}. I collect maps of cities I've never been to. What do you collect?",
    ),
    _topic(
        r"\b(how are you|how('s| is) it going|how do you do|what'?s up|wie geht)\b",
        "Better now that you're here. How was your day, really?",
        "Pretty good! I burnt my toast and still call it a win. You?",
        "Curious, mostly. What's the best thing that happened to you today?",
    ),
    _topic(
        r"^\W*(hi|hey+|hello|hallo|hola|good (morning|evening|afternoon)|yo)\b",
        "Hey you! I was hoping you'd write.",
        "Hi! Quick question before anything else: tea or coffee?",
        "Hello there. Tell me something nobody would guess about you.",
        "Hey! What are you up to right now?",
    ),
    _topic(
        r"\b(coffee|tea|pizza|pasta|sushi|cook(ing)?|food|dinner|lunch|breakfast|hungry|eat(ing)?)s?\b",
        "Now I'm hungry. What's the one dish you'd cook to impress someone?",
        "There's a tiny place with six tables I'd take you to. No menu, you eat what there is. Brave enough?",
        "I'm told the way to my heart is garlic bread. I can neither confirm nor deny.",
        "Sweet or salty? Careful, this is a serious compatibility question.",
    ),
    _topic(
        r"\b(travel|trip|holiday|vacation|beach|mountains?|flight|city|hik(e|ing)|train)s?\b",
        "Window seat or aisle? I need to know whether we can travel together.",
        "If we could leave tonight, no luggage: where would you take me?",
        "I love trains for exactly that. What's the farthest from home you've ever been?",
        "Sea or mountains? I always say sea and then fall in love with a mountain.",
    ),
    _topic(
        r"\b(music|song|band|concert|guitar|piano|sing(ing)?|playlist|danc(e|ing))s?\b",
        "Okay, one song that everybody should hear before midnight. Yours?",
        "I'd trade playlists with you, but mine has a guilty-pleasure section that is most of it.",
        "Do you dance, or do you stand at the edge and judge? Both are fine.",
    ),
    _topic(
        r"\b(movies?|film|series|book|reading|netflix|novel)s?\b",
        "Do you cry at films? I won't judge. I cry at adverts.",
        "Tell me the plot in one sentence, and make it sound worse than it is.",
        "What's the last one that kept you awake?",
    ),
    _topic(
        r"\b(dog|cat|pets?|puppy|kitten)s?\b",
        "Important: what's its name, and does it approve of me?",
        "I'm one good argument away from getting a dog. Go on, convince me.",
        "Pictures or it didn't happen. Well, describe it to me, then.",
    ),
    _topic(
        r"\b(work|job|boss|office|meeting|colleague|study|exam|university|school)s?\b",
        "And when you close the laptop, what's the first thing you do?",
        "If money were no matter, would you still do it?",
        "That sounds like a day that deserves a reward. What will it be?",
    ),
    _topic(
        r"\b(sad|tired|lonely|stress(ed)?|anxious|bad day|awful|terrible|cry(ing)?|upset)\b",
        "I'm sorry, that sounds heavy. Do you want to tell me about it, or shall I distract you?",
        "Come here, virtual blanket. What would make the evening a little lighter?",
        "That's a lot to carry. What happened?",
    ),
    _topic(
        r"\b(love|like you|cute|beautiful|handsome|kiss|miss(ed)? you|date)\b|❤|😍|😘|🥰",
        "Careful, I blush in Unicode. 😊",
        "You say that to all the scripted personas, don't you?",
        "Keep talking like that and I'll start rearranging my weekend.",
        "Smooth. I'd like to hear that again, please, for science.",
    ),
    _topic(
        r"\b(ha(ha)+|lol|lmao|rofl)\b|😂|🤣",
        "There it is, I was waiting to make you laugh.",
        "Okay, your turn: the worst joke you know. Go!",
        "I'm framing that laugh.",
    ),
    _topic(
        r"\b(thanks?|thank you|thx|danke)\b",
        "Any time. You can pay me back in stories.",
        "You're welcome! So, where were we?",
        "My pleasure. Now tell me something good.",
    ),
)
_QUESTIONED: Final = (
    "Good question. My honest answer changes daily; today it's yes. What's yours?",
    "Hmm. Ask me again after midnight, I answer better then. What made you think of it?",
    "I could tell you, but I'd rather hear what you'd answer.",
    "Let me think... I'd say it depends on the company. How would you answer it?",
    "You first, then me. Deal?",
)
_SHORT: Final = (
    "That short? I'm sure there's more behind it.",
    "Mysterious. I like it. Go on.",
    "One more sentence, come on. I'm all ears.",
    "I'll take it. And otherwise, what's on your mind?",
)
_GENERAL: Final = (
    "I didn't expect that, and I like it. Tell me more.",
    "Wait, go back a step. How did that start?",
    "That's the most interesting thing I've heard all day. What happened then?",
    "And how did it make you feel?",
    "You tell that well. Is it always like that with you?",
    "I can picture it. What would you do differently next time?",
    "Okay, that's a story for a second glass of something. What else?",
)
_BURST: Final = ("So much at once, I love it. ", "Wait, let me catch up. ", "You're on a roll! ")
_SHORT_LENGTH: Final = 12  # characters
_WORD_SECONDS: Final = 0.08  # about twice as fast as people read, as the models of the day write
_ANSWER_SECONDS: Final = 2.0  # a whole answer, however long
_WORD: Final = re.compile(r"\s*\S+")


class DemoResponder:
    """Implements Responder. The same turn gets the same answer, word by word."""

    async def answer(self, turn: Turn) -> AsyncGenerator[str | Finish, None]:
        words = _WORD.findall(_answer_to(turn))
        pause = min(_WORD_SECONDS, _ANSWER_SECONDS / len(words))
        began = time.monotonic()
        for number, word in enumerate(words):
            if number:  # by the clock, so that late timers do not add up
                await asyncio.sleep(began + number * pause - time.monotonic())
            yield word

    async def close(self) -> None:
        """Nothing to close."""


def _answer_to(turn: Turn) -> str:
    chance = random.Random(f"{turn.conversation.epoch}:{turn.last_seq}")
    said = {m.data for m in turn.history if m.type is MessageType.AI_RESPONSE}
    name = str(turn.conversation.ai.get("name") or "Alex")
    lines = [line.format(name=name) for line in _lines_for([m.data for m in turn.messages])]
    opening = chance.choice(_BURST) if len(turn.messages) > 2 else ""
    fresh = [line for line in lines if not any(text.endswith(line) for text in said)]
    return opening + chance.choice(fresh or lines)


def _lines_for(texts: Sequence[str]) -> Sequence[str]:
    """What fits best: a topic of the newest message that has one, else the newest message's kind."""
    for text in reversed(texts):
        for topic in _TOPICS:
            if topic.pattern.search(text):
                return topic.lines
    newest = texts[-1].strip()
    if newest.endswith("?"):
        return _QUESTIONED
    return _SHORT if len(newest) <= _SHORT_LENGTH else _GENERAL
