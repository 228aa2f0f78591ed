"""Everyday English sentences from a small grammar with selectional restrictions.

A sentence is a template whose slots are filled from word classes that go together (people cook
food, they do not cook bridges), so that the text has the local predictability of real speech, and a
recogniser can learn it. The grammar yields far more sentences than are ever drawn, which keeps the
splits sentence-disjoint. All text is lower case, letters and apostrophes only.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

__all__ = ["sentence", "vocabulary"]

DIGITS = "zero one two three four five six seven eight nine"

# Word classes. A "|" separates entries of more than one word; otherwise every word is an entry of
# its own.
CLASSES: dict[str, str] = {
    "digit": DIGITS,
    "number": (
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen "
        "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
    ),
    "few": "two three four five six seven eight nine ten a|dozen several many some",
    "name": (
        "anna peter mary david susan robert emma james laura michael sarah thomas helen george "
        "alice martin "
        "rachel andrew linda kevin julia simon nancy brian karen oliver sophie daniel grace "
        "henry lucy frank "
        "victoria charles margaret edward diana patrick elizabeth douglas fiona gordon heather "
        "malcolm"
    ),
    "relative": (
        "mother father brother sister uncle aunt cousin grandmother grandfather daughter son "
        "nephew niece wife "
        "husband neighbour friend partner"
    ),
    "job": (
        "teacher doctor nurse farmer baker butcher driver pilot sailor soldier lawyer judge "
        "plumber carpenter "
        "builder painter writer singer dancer actor waiter barber gardener cleaner librarian "
        "engineer scientist "
        "mechanic electrician firefighter policeman postman shopkeeper manager secretary student "
        "professor "
        "reporter fisherman tailor dentist captain mayor"
    ),
    "title": (
        "mister|brown missus|green mister|young missus|walker doctor|stone doctor|hill "
        "captain|black"
    ),
    "pronoun": "he she",
    "poss": "my your his her our their the",
    "person_adj": (
        "old young tall short kind quiet clever friendly tired happy angry nervous famous lazy "
        "busy brave polite "
        "lonely honest careful cheerful hungry proud strange wise foolish"
    ),
    "food": (
        "bread cheese soup rice pasta salad chicken beef lamb pork bacon ham fish salmon eggs "
        "toast porridge "
        "butter honey jam pie cake pudding biscuits chocolate sandwich stew sausages pancakes "
        "curry pizza noodles "
        "ice|cream yoghurt cereal"
    ),
    "produce": (
        "apples pears plums cherries grapes lemons oranges bananas peaches strawberries potatoes "
        "carrots onions "
        "peas beans cabbage tomatoes mushrooms pumpkins garlic spinach lettuce cucumbers turnips"
    ),
    "food_adj": (
        "fresh cold hot warm sweet sour salty delicious burnt frozen spicy raw stale tasty plain"
    ),
    "drink": "water milk tea coffee juice lemonade beer wine cider cocoa",
    "vessel": "cup glass bottle jug mug bowl pot",
    "meal": "breakfast lunch dinner supper",
    "cook": "cooked made prepared served ordered burned tasted shared",
    "eat": "ate finished tried enjoyed wanted liked",
    "vehicle": (
        "car bus train truck van taxi bicycle motorbike boat ferry tram lorry plane ship wagon "
        "tractor"
    ),
    "drive": "drove missed washed repaired rented parked stopped heard",
    "object": (
        "book letter box bag key lamp clock mirror chair table desk phone camera radio hammer "
        "ladder bucket "
        "basket blanket pillow candle knife spoon fork plate brush broom rope map ticket wallet "
        "purse umbrella "
        "newspaper magazine picture painting statue guitar piano violin drum ball kite doll toy "
        "puzzle ring "
        "necklace watch coin stamp envelope parcel suitcase computer television telephone "
        "battery torch needle "
        "scissors pencil notebook calendar diary photograph carpet curtain cushion shovel axe "
        "saw nail tent "
        "kettle teapot saucepan oven towel soap razor comb helmet trophy medal"
    ),
    "object_adj": (
        "new old small large heavy light broken wooden plastic metal expensive cheap dirty clean "
        "beautiful ugly "
        "round square empty full tiny huge useful dusty shiny ancient modern lost favourite"
    ),
    "colour": "red blue green yellow black white brown grey orange purple pink golden silver",
    "handle": (
        "found lost bought sold carried dropped opened closed borrowed lent hid moved lifted "
        "cleaned fixed "
        "broke needed forgot kept packed noticed brought took held dragged painted"
    ),
    "clothes": (
        "coat jacket shirt dress skirt hat scarf gloves boots shoes socks trousers jumper "
        "sweater belt tie suit "
        "apron slippers pyjamas"
    ),
    "wear": "wore tore washed ironed borrowed bought mended folded",
    "animal": (
        "dog cat horse cow sheep goat pig hen duck goose rabbit fox wolf bear deer squirrel "
        "mouse rat owl eagle "
        "crow robin swan frog snake turtle spider bee butterfly donkey pony lion tiger elephant "
        "monkey camel "
        "whale dolphin shark seal otter badger hedgehog parrot pigeon"
    ),
    "animal_did": (
        "slept ran jumped barked hid waited escaped swam climbed disappeared rested limped "
        "crawled drank"
    ),
    "see": "saw watched fed chased followed heard photographed noticed caught found",
    "where_out": (
        "river lake forest beach mountain valley field garden park bridge harbour island hill "
        "road street path "
        "meadow cliff desert village farm market square castle tower fountain gate fence canal "
        "stream pond "
        "orchard playground stadium zoo cemetery wood"
    ),
    "where_in": (
        "kitchen bedroom bathroom cellar attic garage office library hospital school church "
        "museum theatre "
        "restaurant hotel station airport bakery shop bank factory prison palace cottage barn "
        "stable shed "
        "cupboard drawer corner hall classroom laboratory cinema gallery pub supermarket pharmacy"
    ),
    "prep_out": (
        "by|the near|the behind|the beside|the across|the along|the beyond|the above|the "
        "towards|the"
    ),
    "prep_in": "in|the at|the inside|the outside|the",
    "city": (
        "london paris edinburgh glasgow dublin cardiff boston chicago york bristol madrid rome "
        "berlin vienna "
        "sydney toronto oxford cambridge liverpool manchester"
    ),
    "country": (
        "scotland england france spain italy germany canada america ireland wales norway india "
        "china japan"
    ),
    "weekday": "monday tuesday wednesday thursday friday saturday sunday",
    "month": (
        "january february march april may june july august september october november december"
    ),
    "season": "spring summer autumn winter",
    "past": (
        "yesterday last|night last|week last|year last|month this|morning on|{weekday} "
        "last|{season} in|{month} "
        "an|hour|ago {few}|days|ago a|week|ago before|{meal} after|{meal} at|midnight at|noon "
        "earlier|today "
        "on|{weekday}|morning on|{weekday}|evening last|{weekday}"
    ),
    "future": (
        "tomorrow tonight next|week next|month next|year on|{weekday} next|{weekday} soon later "
        "this|afternoon "
        "this|evening after|{meal} before|{meal} in|{month} next|{season} in|an|hour in|{few}|days"
    ),
    "habit": (
        "every|day every|morning every|{weekday} every|week every|night every|{season} "
        "in|the|morning "
        "in|the|evening at|the|weekend twice|a|week once|a|month"
    ),
    "often": "always often never usually sometimes rarely seldom hardly|ever",
    "how": (
        "slowly quickly quietly carefully suddenly loudly gently badly easily happily secretly "
        "politely "
        "patiently nervously eagerly silently together alone again"
    ),
    "weather_adj": (
        "sunny rainy windy cloudy foggy stormy snowy cold warm mild wet dry humid freezing dull "
        "bright"
    ),
    "weather": "rain snow wind storm thunder fog frost sunshine lightning hail mist",
    "weather_did": "started stopped returned arrived continued ended began surprised|everyone",
    "go_past": "went walked ran travelled moved drove cycled hurried returned flew sailed",
    "go_base": "go walk travel move drive return fly sail hurry",
    "went": "went walked travelled drove cycled returned",
    "do_base": (
        "buy sell find open close clean fix carry move borrow paint keep bring take hide pack wash "
        "repair check measure replace deliver collect"
    ),
    "modal": "will can should must might could would",
    "activity": (
        "swimming fishing dancing singing reading writing cooking painting running climbing "
        "skating skiing "
        "camping sailing gardening knitting sewing hunting shopping sleeping walking cycling "
        "drawing "
        "travelling driving"
    ),
    "like": "liked loved hated enjoyed preferred avoided missed",
    "subject": (
        "history music science geography chemistry physics biology poetry art law medicine "
        "economics "
        "mathematics french spanish german english grammar"
    ),
    "study": "studied taught learned forgot explained discussed loved hated",
    "game": "football tennis cricket golf chess cards rugby hockey darts basketball",
    "body": (
        "head arm leg hand foot back shoulder knee ankle finger elbow neck ear eye nose stomach "
        "tooth thumb"
    ),
    "hurt": "hurt broke twisted washed touched scratched bandaged",
    "feel": "felt seemed looked became was sounded remained",
    "feeling": (
        "tired happy sad angry afraid worried excited bored lonely calm proud ill better ready "
        "sleepy "
        "thirsty hungry guilty jealous confused surprised disappointed embarrassed grateful "
        "relieved"
    ),
    "say": "said thought knew believed hoped heard told|me promised announced whispered",
    "abstract": (
        "problem question answer idea story joke lesson decision mistake plan promise secret "
        "reason rumour "
        "agreement argument advice warning message report speech song poem dream memory journey "
        "holiday wedding "
        "party meeting concert lecture interview exam election festival"
    ),
    "abstract_adj": (
        "important difficult simple serious interesting boring funny terrible wonderful strange "
        "long short "
        "dangerous exciting perfect silly clear final early secret similar famous"
    ),
    "discuss": (
        "discussed remembered forgot understood ignored described mentioned planned expected "
        "enjoyed "
        "accepted refused heard told shared"
    ),
    "money": "pounds dollars pence cents euros",
    "measure": "metres miles inches kilometres feet yards",
    "size": "long wide deep tall high away",
    "period": "minutes hours days weeks months years",
    "plant": (
        "flowers roses trees grass bushes tulips daisies leaves branches seeds vegetables ivy "
        "heather thistles"
    ),
    "plant_did": "grew planted watered picked cut trimmed collected gathered",
    "building": (
        "house castle school church bridge tower hospital library factory hotel cottage barn "
        "wall road"
    ),
    "build": "built designed visited painted sold destroyed inspected repaired",
    "group": (
        "children students workers tourists farmers soldiers sailors visitors neighbours "
        "passengers players "
        "dancers guests strangers men women boys girls teachers drivers scientists musicians "
        "customers"
    ),
    "group_did": (
        "laughed shouted waited sang danced argued cheered gathered arrived left complained "
        "worked rested "
        "marched celebrated protested listened agreed smiled whispered"
    ),
    "public": (
        "government company council committee team police army union newspaper family village "
        "school"
    ),
    "public_did": (
        "announced rejected supported changed approved discussed cancelled postponed defended"
    ),
    "policy": (
        "law tax price budget project contract deal proposal strike schedule vote rule system "
        "programme "
        "service building campaign policy"
    ),
    "material": (
        "wood stone glass paper iron steel gold silver cotton wool leather brick clay silk rubber"
    ),
    "science": (
        "planet star moon sun earth ocean atom engine machine rocket satellite telescope "
        "microscope volcano "
        "earthquake glacier comet magnet"
    ),
    "science_did": "studied discovered observed described measured drew explained photographed",
    "comparative": (
        "bigger smaller faster slower older younger taller shorter heavier lighter better worse "
        "cheaper "
        "stronger weaker brighter darker louder quieter colder warmer"
    ),
    "liquid_did": "drank spilled poured ordered wanted offered|me refused",
    "house_part": (
        "door window roof floor wall ceiling chimney stairs balcony gate shelf sink tap bath"
    ),
    "house_did": (
        "opened closed painted cleaned fixed broke washed covered measured checked locked replaced"
    ),
    "time": (
        "{hour}|o'clock half|past|{hour} quarter|to|{hour} quarter|past|{hour} {hour}|thirty "
        "{hour}|fifteen"
    ),
    "hour": "one two three four five six seven eight nine ten eleven twelve",
    "ordinal": "first second third fourth fifth sixth seventh eighth ninth tenth last next",
}

_WHO = "{who}"
TEMPLATES: list[tuple[float, str]] = [
    (3, "{who} {cook} the {food} {past}"),
    (2, "{who} {eat} the {food_adj} {food}"),
    (2, "{who} {eat} {food} and {food} for {meal}"),
    (2, "{who} bought some {produce} and {produce} at the market"),
    (2, "{who} {liquid_did} a {vessel} of {drink}"),
    (1, "would you like a {vessel} of {drink} with your {meal}"),
    (3, "{who} {drive} the {colour} {vehicle} {past}"),
    (2, "the {vehicle} to {city} leaves at {time}"),
    (1, "the {vehicle} from {city} was {number} minutes late"),
    (4, "{who} {handle} the {object_adj} {object} {past}"),
    (4, "{who} {handle} {poss} {object} {place}"),
    (2, "the {object_adj} {object} is {place}"),
    (2, "where did you put {poss} {colour} {object}"),
    (2, "please {do_base} the {object} and the {object}"),
    (2, "can you {do_base} the {object_adj} {object} for me"),
    (2, "{who} {modal} {do_base} the {object} {future}"),
    (2, "{who} {wear} a {colour} {clothes} {past}"),
    (1, "{poss} {clothes} and {poss} {clothes} are {place}"),
    (3, "the {animal} {animal_did} {place}"),
    (3, "{who} {see} a {colour} {animal} {place}"),
    (2, "{number} {group} {see} the {animal} {past}"),
    (3, "{who} {go_past} to {city} {past}"),
    (2, "{who} {modal} {go_base} to {country} {future}"),
    (2, "{who} {often} {went} to the {where_in} {habit}"),
    (2, "{who} {go_past} {how} {prep_out} {where_out}"),
    (2, "it was {weather_adj} and {weather_adj} in {city} {past}"),
    (2, "the {weather} {weather_did} {past}"),
    (1, "it {modal} be {weather_adj} in {country} {future}"),
    (3, "{who} {like} {activity} {prep_out} {where_out}"),
    (2, "{who} {like} {activity} and {activity} {habit}"),
    (2, "{who} {study} {subject} at school in {city}"),
    (1, "{who} {study} {subject} and {subject} for {number} {period}"),
    (2, "the {group} played {game} {place} {past}"),
    (2, "{who} {hurt} {poss} {body} {past}"),
    (2, "{who} {feel} {feeling} {past}"),
    (2, "{who} {feel} {feeling} and {feeling}"),
    (3, "{who} {say} the {abstract} was {abstract_adj}"),
    (3, "{who} {discuss} the {abstract_adj} {abstract} {past}"),
    (2, "it was {past_np} {abstract_adj} {abstract}"),
    (2, "the {object} cost {number} {money} {past}"),
    (1, "{who} paid {number} {money} for the {food}"),
    (2, "the {building} is {number} {measure} {size}"),
    (2, "{who} waited {number} {period} for the {vehicle}"),
    (2, "{who} {plant_did} the {plant} {place}"),
    (2, "{who} {build} the {building} {prep_out} {where_out}"),
    (3, "the {person_adj} {group} {group_did} {how}"),
    (3, "the {group} {group_did} {place} {past}"),
    (2, "the {public} {public_did} the {policy} {past}"),
    (2, "the {public} {modal} change the {policy} {future}"),
    (2, "the {object} is made of {material} and {material}"),
    (2, "{who} {science_did} the {science} {past}"),
    (2, "the {science} is {comparative} than the {science}"),
    (2, "the {animal} is {comparative} than the {animal}"),
    (1, "{poss} {relative} is {comparative} than {poss} {relative}"),
    (2, "{who} {house_did} the {house_part} of the {building}"),
    (2, "{who} {house_did} the {colour} {house_part} {past}"),
    (2, "{who} and {name} met {place} at {time}"),
    (1, "the meeting starts at {time} {future}"),
    (2, "{poss} {relative} lives in {city} with {number} {animal_pl}"),
    (2, "{poss} {relative} works as a {job} in {city}"),
    (1, "the {ordinal} {abstract} was {comparative} than the {ordinal}"),
    (1, "{who} was the {ordinal} {job} in the {where_in}"),
    (2, "{name} asked the {job} about the {abstract}"),
    (2, "{name} gave the {object} to the {person_adj} {job}"),
    (1, "when will {who} {do_base} the {house_part}"),
    (1, "why did {who} leave the {object} {place}"),
    (1, "how many {animal_pl} did you see {place}"),
    (1, "do you know where {poss} {relative} is"),
    (1, "is there any {food} left {place}"),
    (1, "i don't think {who} {modal} {do_base} the {object}"),
    (1, "we didn't see the {animal} {past}"),
    (1, "i can't find {poss} {object} {place}"),
    (1, "there were {number} {group} {place} {past}"),
    (1, "if it is {weather_adj} we {modal} {go_base} to the {where_out}"),
    (1, "because it was {weather_adj} {who} {feel} {feeling}"),
    (5, "{digit} {digit} {digit} {digit} {digit}"),
    (1, "{digit} {digit} {digit}"),
    (1, "call {name} on {digit} {digit} {digit} {digit}"),
    (1, "the number is {digit} {digit} {digit} {digit} {digit} {digit}"),
    (1, "room {digit} {digit} {digit} is on the {ordinal} floor"),
]

CLASSES |= {
    "who": (
        "{name} {name} {name} {pronoun} {pronoun} we they i {title} {poss}|{relative} "
        "{poss}|{relative} "
        "the|{job} the|{job} the|{person_adj}|{job} {poss}|{person_adj}|{relative}"
    ),
    "place": (
        "{prep_in}|{where_in} {prep_in}|{where_in} {prep_out}|{where_out} {prep_out}|{where_out}"
    ),
    "past_np": "a a a only|a",
    "animal_pl": "dogs cats horses cows goats pigs hens ducks rabbits birds parrots donkeys ponies",
}

_SLOT = re.compile(r"\{(\w+)\}")
_WEIGHTS = np.array([weight for weight, _ in TEMPLATES]) / sum(weight for weight, _ in TEMPLATES)


@cache
def _entries(name: str) -> tuple[str, ...]:
    return tuple(entry.replace("|", " ") for entry in CLASSES[name].split())


def sentence(rng: np.random.Generator) -> str:
    """Return one sentence of 3 to about 14 words, lower case, without punctuation."""
    text = TEMPLATES[rng.choice(len(TEMPLATES), p=_WEIGHTS)][1]
    while slot := _SLOT.search(text):
        entries = _entries(slot[1])
        text = text[: slot.start()] + entries[rng.integers(len(entries))] + text[slot.end() :]
    return re.sub(r"\b(a)(?= [aeiou])", "an", text)


def vocabulary() -> frozenset[str]:
    """Return every word that `sentence` can produce."""
    sources = [template for _, template in TEMPLATES] + [e for c in CLASSES for e in _entries(c)]
    words = {word for source in sources for word in _SLOT.sub(" ", source).split()}
    return frozenset(words | {"an"})
