"""Hand words by a list: nouns of hands, verbs of what hands do, and phrases that only sound like it."""

import re
from dataclasses import dataclass
from functools import lru_cache

from zoo.encoders.spans import HandTagger, Span

_NOUNS = """
hand hands finger fingers fingertip fingertips fingernail fingernails forefinger forefingers pinky pinkies pinkie
thumb thumbs palm palms fist fists wrist wrists knuckle knuckles gesture gestures handshake handshakes
"""
NOUNS = tuple(_NOUNS.split())

# All forms of each verb but those that captions use as nouns or adjectives: a wave, a type of, a sharp point, cut
# fruit, the press, a ski lift, written on.
_VERBS = """
hold holds holding held take takes taking took taken grab grabs grabbing grabbed grasp grasps grasping grasped
grip grips gripping gripped carry carries carrying carried touch touches touching touched pointing waving waved
clap claps clapping clapped pinch pinches pinching pinched catch catches catching caught
throw throws throwing threw thrown lifting lifted push pushes pushing pushed pull pulls pulling pulled
pressing pressed typing typed write writes writing wrote cutting pour pours pouring poured
hug hugs hugging hugged shake shakes shaking shook gesturing gestured
"""
VERBS = tuple(_VERBS.split())

# Regular expressions in which a space is any run of spaces and hyphens. Whole words only.
EXCLUSIONS = (
    # what "hand" is part of
    r"(second|first|third) hand",
    r"hand (made|crafted|painted|drawn|written|carved|knit|knitted|sewn|woven|blown)(?! (of|from|out|on|in)\b)",
    r"made by hand",
    r"hands? free",
    r"hands-(on|off)",
    r"hand me downs?",
    r"hand (bags?|luggage|baggage|towels?|soaps?|sanitizers?|sanitisers?|dryers?|driers?|rails?|carts?|trucks?)",
    r"hand (brakes?|cream|lotion|saws?|tools?|sinks?|basins?|guns?|books?|cuffs?)",
    r"(left|right) hand (side|corner|lane|turn|drive|traffic)",
    r"(farm|ranch|stage|deck|hired) hands?",
    # clocks
    r"(hour|minute|clock|clock's|watch) hands?",
    r"hands? (of|on) (a|an|the) (\w+ )?(clock|clocktower|watch)",
    # idioms
    r"on the (one|other) hand",
    r"on one hand(?=,)",
    r"(at|on) hand(?! [a-z])",
    r"upper hand",
    r"(get|gets|getting|got) out of hand",
    r"all hands on deck",
    r"rule of thumb",
    r"green thumbs?",
    r"thumb (drives?|tacks?)",
    r"(fish|chicken|lady|cheese) fingers?",
    r"finger (foods?|sandwich|sandwiches|prints?)",
    r"palm (trees?|leaf|leaves|fronds?|oil|plants?|branch|branches)",
    # what aircraft, trains, surfers, weather, kitchens and sofas do or have
    r"(take|takes|taking|took|taken) off(?! (his|her|their|my|your|its)\b)",
    r"(take|takes|taking|took|taken) (place|part|over|flight)",
    r"(take|takes|taking|took|taken) an? (nap|bath|shower|walk|ride|break|rest|swim|stroll|turn|seat)",
    r"(pull|pulls|pulling|pulled) (in|into|out of|up to|up at|away from|over)(?! (his|her|their|my|your|its)\b)",
    r"(touch|touches|touching|touched) down",
    r"touch (screens?|pads?)",
    r"(catch|catches|catching|caught) (a|the|some) (waves?|air|train|bus)",
    r"(catch|catches|catching|caught) fire",
    r"caught (in|up|on)",
    r"throw (pillows?|rugs?|blankets?|cushions?)",
    r"pouring (rain|down)",
    r"milk shakes?",
    r"carry ons?",
    r"with writing",
    r"writing desks?",
    r"cutting boards?",
    r"holding pattern",
    r"(push|pull) ups?",
    r"push pins?",
)


@dataclass(frozen=True)
class Lexicon(HandTagger):
    """Finds hand words by a list (which words is our choice; AttentionHand names holding, taking and hand).

    Words are runs of letters, as in CLIP's tokenizer: of "hand-held" the two words are looked up each for itself, and
    "handbag" or "secondhand" are other words.

    Args:
        nouns: Words that name hands or parts of them, in lower case, with their plurals.
        verbs: Forms of verbs that hands do.
        exclusions: Phrases whose words do not count, as regular expressions; a space stands for spaces and hyphens.
    """

    nouns: tuple[str, ...] = NOUNS
    verbs: tuple[str, ...] = VERBS
    exclusions: tuple[str, ...] = EXCLUSIONS

    def __call__(self, text: str) -> list[Span]:
        text = text.lower()
        words = _words(self.nouns + self.verbs)
        excluded = [found.span() for phrase in _phrases(self.exclusions) for found in phrase.finditer(text)]
        return [
            Span(*found.span())
            for found in re.finditer(r"[^\W\d_]+", text)
            if found.group() in words and not any(a <= found.start() and found.end() <= b for a, b in excluded)
        ]


@lru_cache(maxsize=16)
def _words(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(words)


@lru_cache(maxsize=16)
def _phrases(exclusions: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    gaps = [phrase.replace(" ", r"[\s-]+") for phrase in exclusions]
    return tuple(re.compile(rf"(?<![^\W\d_])(?:{phrase})(?![^\W\d_])") for phrase in gaps)
