"""Quick, Draw! sketches that ask for colour emoji: two domains, from two data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from dmlbench.api import DataError, Download, Item
from dmlbench_plugins.datasets.emoji import Emoji
from dmlbench_plugins.datasets.emoji_line_colour import in_domain
from dmlbench_plugins.datasets.quickdraw import QuickDraw

SAME = """
airplane, alarm clock, ambulance, angel, ant, apple, axe, banana, baseball, basket, basketball, bat,
bathtub, bear, bed, bee, bird, book, boomerang, brain, bread, broccoli, broom, bucket, bus, butterfly,
cactus, cake, camel, camera, candle, canoe, car, carrot, chair, church, cloud, compass, cookie, crab,
crocodile, crown, dolphin, door, dragon, duck, ear, elephant, eye, eyeglasses, feather, fish, flamingo,
flashlight, flying saucer, foot, frog, grapes, guitar, hamburger, hammer, hand, headphones, hedgehog,
helicopter, hospital, hourglass, house, ice cream, kangaroo, key, keyboard, ladder, leg, lipstick, lobster,
lollipop, mailbox, mermaid, microphone, monkey, moon, mosquito, mountain, mushroom, nose, ocean, octopus,
onion, owl, palm tree, parachute, parrot, pear, penguin, pickup truck, pineapple, pizza, police car, potato,
purse, raccoon, radio, rainbow, rhinoceros, roller coaster, sandwich, saxophone, scissors, scorpion,
screwdriver, shark, sheep, shorts, skateboard, skull, snail, snake, snowflake, snowman, speedboat, spider,
spoon, star, stethoscope, strawberry, swan, syringe, teapot, tent, toilet, tooth, toothbrush, tornado,
tractor, traffic light, truck, trumpet, umbrella, violin, watermelon, wheel, wine glass
"""
"""Words that are also the short name of an emoji, with an underscore for a blank."""
ANOTHER = """
backpack: school_satchel, bandage: adhesive_bandage, bicycle: bike, birthday cake: birthday, blueberry:
blueberries, bridge: bridge_at_night, calendar: date, castle: european_castle, cat: cat2, cell phone:
iphone, clock: clock3, coffee cup: coffee, computer: desktop_computer, couch: couch_and_lamp, cow: cow2,
crayon: lower_left_crayon, cruise ship: passenger_ship, dog: dog2, donut: doughnut, drums:
drum_with_drumsticks, envelope: email, firetruck: fire_engine, flip flops: thong_sandal, flower: blossom,
fork: fork_and_knife, giraffe: giraffe_face, helmet: military_helmet, hockey stick:
ice_hockey_stick_and_puck, horse: racehorse, hot dog: hotdog, house plant: potted_plant, jacket: coat,
knife: hocho, lantern: izakaya_lantern, laptop: computer, leaf: leaves, light bulb: bulb, lightning: zap,
lion: lion_face, map: world_map, megaphone: mega, motorbike: racing_motorcycle, mouse: mouse2, mouth: lips,
paintbrush: lower_left_paintbrush, panda: panda_face, pants: jeans, paper clip: paperclip, peanut: peanuts,
peas: pea_pod, pencil: pencil2, piano: musical_keyboard, pig: pig2, rabbit: rabbit2, rain: rain_cloud,
sailboat: boat, saw: carpentry_saw, sea turtle: turtle, shoe: mans_shoe, smiley face: slightly_smiling_face,
soccer ball: soccer, sock: socks, squirrel: chipmunk, steak: cut_of_meat, stop sign: octagonal_sign,
suitcase: luggage, sun: sunny, sword: dagger_knife, t-shirt: shirt, teddy-bear: teddy_bear, telephone:
phone, television: tv, tennis racquet: tennis, tiger: tiger2, train: train2, tree: deciduous_tree,
underwear: briefs, van: minibus, whale: whale2, wristwatch: watch, zebra: zebra_face
"""
"""Words whose emoji has another name, as WORD: NAME. Chosen by hand where no emoji is called so: that of the
thing itself, or of what people draw for it."""


class QuickDrawEmoji:
    """Sketches of 224 words, and the colour drawings of nearly all emoji, sketched or not.

    The word's emoji is the class, and the emoji's base concept the group, of both. Emoji that are variants of
    a sketched one, e.g. the other clock faces, are left out: as answers they would be wrong in name alone.
    The column `domain` is `sketch` or `colour`; `hand` is `quickdraw`, `openmoji` or `twemoji`.

    The root is that of `quickdraw`, of whose drawings the first `per_word` of each word are taken.
    """

    needs_root = True
    downloads: tuple[Download, ...] = ()

    def __init__(self, *, per_word: int = 100) -> None:
        self._quickdraw = QuickDraw(per_word=per_word)
        self._emoji = Emoji()
        self._sources: dict[str, Item] = {}
        """Items as the two data sets have them, by path."""

    def versions(self) -> dict[str, str]:
        """The packages with the drawings, and the libraries that draw."""
        return {**self._quickdraw.versions(), **self._emoji.versions()}

    def items(self, root: Path | None) -> list[Item]:
        """All items, sorted by path. `DataError` when there are no drawings."""
        drawings = [item for item in self._emoji.items() if in_domain(item).columns["domain"] == "colour"]
        sketched = emoji_of_words()
        named = {item.label: item for item in drawings}
        concepts = {named[name].group for name in sketched.values()}
        colour = [item for item in drawings if item.label in sketched.values() or item.group not in concepts]
        sketches = [item for item in self._quickdraw.items(root) if item.label in sketched]
        self._sources = {item.path: item for item in (*colour, *sketches)}
        asked = [in_domain(item) for item in colour]
        asking = [_sketch(item, named[sketched[item.label]]) for item in sketches]
        return sorted((*asked, *asking), key=lambda item: item.path)

    def check_counts(self, items: Sequence[Item]) -> None:
        """`DataError` unless there are sketches of all words."""
        found = {item.label for item in items if item.columns["domain"] == "sketch"}
        lacking = sorted(word for word, name in emoji_of_words().items() if name not in found)
        if lacking:
            raise DataError(
                f"there are no sketches of {len(lacking)} of {len(emoji_of_words())} words: {lacking[0]}, …",
                way_out="dmlbench data prepare TASK --from all files of simplified drawings",
            )

    def source(self, item: Item) -> bytes:
        """The strokes as JSON; of an emoji what `emoji` says."""
        return self._of(item).source(self._sources[item.path])

    def picture(self, item: Item, size: int) -> Image.Image:
        """Mode L for a sketch, RGB for an emoji."""
        return self._of(item).picture(self._sources[item.path], size)

    def _of(self, item: Item) -> QuickDraw | Emoji:
        return self._quickdraw if item.columns["domain"] == "sketch" else self._emoji


def emoji_of_words() -> dict[str, str]:
    """Short name of the emoji, by word.

    >>> emoji_of_words()["alarm clock"], emoji_of_words()["cat"]
    ('alarm_clock', 'cat2')
    """
    same = {word.strip(): word.strip().replace(" ", "_") for word in SAME.replace("\n", " ").split(",")}
    pairs = (pair.split(":") for pair in ANOTHER.replace("\n", " ").split(","))
    return same | {word.strip(): name.strip() for word, name in pairs}


def _sketch(item: Item, emoji: Item) -> Item:
    """A sketch of a word as one of that word's emoji."""
    columns: dict[str, str | int] = {"domain": "sketch", "hand": "quickdraw"}
    return replace(item, label=emoji.label, group=emoji.group, superclass=emoji.superclass, columns=columns)
